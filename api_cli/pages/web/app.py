"""The page itself, in Gradio: what is on it, and what happens when something is touched."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
import yaml
from gradio.utils import get_upload_folder
from PIL import Image

from api_cli.errors import ApipromptError, UsageError
from api_cli.options.run import RunConfig
from api_cli.options.web import WebConfig
from api_cli.pages.web.answering import answer
from api_cli.pages.web.choice import (
    METHODS,
    command,
    configuration,
    differing,
    spelt,
    value_of,
)
from api_cli.pages.web.sliders import sliders
from api_cli.pages.web.studio import (
    Look,
    Picture,
    Studio,
    asked_alike,
    draw,
)
from api_cli.runs.pictures import encode
from datasets_manager import DatasetError, get_dataset

_EXAMPLES = 6
_TITLE = "Attention prompting on images"
_QUALITY = 95
_LEFT_ALONE = ("highlight", "layer_index", "preset", "fit")  # by presets
_Handler = Callable[..., list[Any]]


@dataclass
class Visit:
    """What one visitor has before them; nobody else sees it.

    Attributes:
        picture: that was chosen.
        look: what was found out about it.
        model: whose layers the slider counts.
        files: what was drawn last, by the manifest's column.
    """

    picture: Picture | None = None
    look: Look | None = None
    model: str = ""
    files: dict[str, Path] = field(default_factory=dict)


def build(config: WebConfig) -> gr.Blocks:
    """The page.

    Args:
        config: which models it offers, and what it takes.
    """
    return _Page(config).blocks


def _said(outputs: int) -> Callable[[_Handler], _Handler]:
    """Make an error that a visitor can mend a message on the page, which stays as it is."""

    def decorate(handler: _Handler) -> _Handler:
        @wraps(handler)
        def handle(*arguments: Any) -> list[Any]:
            try:
                return handler(*arguments)
            except (ApipromptError, DatasetError, OSError, ValueError) as error:
                gr.Warning(html.escape(str(error)), duration=None, title="This will not do")
                return [gr.skip()] * outputs

        return handle

    return decorate


class _Page:
    """The page's parts, and their handlers."""

    def __init__(self, config: WebConfig) -> None:
        self._config = config
        self._studio = Studio(config.max_megapixels * 10**6)
        self._known = _examples()
        self._models = {"clip": config.clip_models, "llava": config.llava_models}
        minutes = config.keep_minutes
        with gr.Blocks(
            title=_TITLE, analytics_enabled=False, delete_cache=(60, minutes * 60)
        ) as self.blocks:
            self._visit = gr.State(None, time_to_live=minutes * 60)
            gr.Markdown(f"# {_TITLE}\nWhere to look: a picture, a question, and sliders.")
            self._lay_out()
            self._connect()

    def _lay_out(self) -> None:
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                self._upload = gr.File(label="Your picture", file_types=["image"], height=110)
                self._examples = gr.Gallery(
                    self._known,
                    label="Or an example",
                    columns=3,
                    height=200,
                    object_fit="cover",
                    allow_preview=False,
                    buttons=[],
                    elem_id="examples",
                )
                self._question = gr.Textbox(label="Question", lines=2, elem_id="question")
                self._method = gr.Radio(list(METHODS), value="clip", label="Method")
                self._model = gr.Dropdown(
                    list(self._models["clip"]), value=self._models["clip"][0], label="Model"
                )
                self._ask = gr.Button("Ask", variant="primary", elem_id="ask")
                self._auxiliary = gr.Textbox(
                    label="The auxiliary model's answer (select a part of it to highlight that)",
                    interactive=False,
                    visible=False,
                    elem_id="auxiliary",
                )
                highlight = gr.Textbox(
                    label="Highlight",
                    visible=False,
                    elem_id="highlight",
                    info="Count only the looks that produced this part of the answer.",
                )
            with gr.Column(scale=2, min_width=320):
                with gr.Row():
                    self._original = gr.Image(
                        label="Original",
                        interactive=False,
                        buttons=["fullscreen"],
                        elem_id="original",
                    )
                    self._masked = gr.Image(
                        label="Masked",
                        interactive=False,
                        buttons=["fullscreen"],
                        elem_id="masked",
                    )
                    self._crop = gr.Image(
                        label="Crop",
                        interactive=False,
                        visible=False,
                        buttons=["fullscreen"],
                        elem_id="crop",
                    )
                self._said = gr.Markdown()
                self._controls: dict[str, Any] = {"highlight": highlight, **sliders()}
                with gr.Row():
                    self._download = gr.DownloadButton("Download the picture", elem_id="download")
                    self._download_yaml = gr.DownloadButton(
                        "Download the configuration", elem_id="yaml"
                    )
                self._command = gr.Textbox(
                    label="The same from a shell",
                    interactive=False,
                    buttons=["copy"],
                    elem_id="command",
                    lines=2,
                )
                with gr.Accordion("Ask a model about both", open=self._config.base_url is not None):
                    own = self._config.is_private
                    self._url = gr.Textbox(
                        self._config.base_url or "",
                        label="Server (base URL)",
                        interactive=own,
                        placeholder="http://localhost:8000/v1",
                    )
                    self._served = gr.Textbox(
                        self._config.model or "", label="Model", interactive=own
                    )
                    self._compare = gr.Button("Ask about original and masked", elem_id="compare")
                    with gr.Row():
                        self._plain_answer = gr.Textbox(label="Original", interactive=False)
                        self._masked_answer = gr.Textbox(label="Masked", interactive=False)

    def _connect(self) -> None:
        shown = [
            self._masked,
            self._crop,
            self._said,
            self._command,
            self._download,
            self._download_yaml,
        ]
        looked = [self._visit, self._auxiliary, self._controls["layer_index"], *shown]
        choice = [self._method, self._model, *self._controls.values()]
        opened = [self._visit, self._original, *shown]
        quick: dict[str, Any] = {
            "show_progress": "hidden",
            "trigger_mode": "always_last",
            "concurrency_limit": 4,
        }
        self._upload.upload(self._open, [self._visit, self._upload], opened)
        self._upload.clear(self._open, [self._visit, self._upload], opened)
        self._examples.select(self._pick, [self._visit], [*opened, self._question])
        self._method.change(
            self._offer, [self._method], [self._model, self._controls["highlight"], self._auxiliary]
        )
        self._controls["preset"].input(
            self._preset, [self._method, self._controls["preset"]], list(self._controls.values())
        ).then(self._draw, [self._visit, *choice], shown, **quick)
        asking = [self._visit, self._question, *choice]
        for event in (
            self._ask.click,
            self._question.submit,
            self._controls["highlight"].submit,
            self._controls["fit"].input,
        ):
            event(self._look, asking, looked)
        self._auxiliary.select(_selected, None, [self._controls["highlight"]]).then(
            self._look, asking, looked
        )
        for name, control in self._controls.items():
            if name not in ("highlight", "preset", "fit"):
                event = control.input if hasattr(control, "input") else control.change
                event(self._draw, [self._visit, *choice], shown, **quick)
        self._compare.click(
            self._compare_answers,
            [self._visit, self._question, self._url, self._served],
            [self._plain_answer, self._masked_answer],
        )

    def _offer(self, method: str) -> tuple[Any, Any, Any]:
        """The models of a method, and what only a model that answers has."""
        names = list(self._models[method])
        answers = method == "llava"
        return (
            gr.update(choices=names, value=names[0]),
            gr.update(visible=answers),
            gr.update(visible=answers, value=""),
        )

    @_said(8)
    def _open(self, visit: Visit | None, path: str | None) -> list[Any]:
        """A picture that was uploaded or picked; what was drawn of another is gone."""
        picture = None if path is None else self._studio.open(Path(path))
        image = None if picture is None else picture.image
        visit = Visit(picture, model="" if visit is None else visit.model)
        return [visit, image, None, gr.update(visible=False), "", "", None, None]

    def _pick(self, visit: Visit | None, event: gr.SelectData) -> list[Any]:
        """An example and its question."""
        path, question = self._known[event.index]
        return [*self._open(visit, path), question]

    @_said(9)
    def _look(
        self, visit: Visit | None, question: str, method: str, model: str, *values: Any
    ) -> list[Any]:
        """Ask the auxiliary model, and draw what it found."""
        if visit is None or visit.picture is None:
            raise UsageError("choose a picture first")
        config = self._choice(method, model, values)
        # whichever layer the slider is at may be another model's
        look = self._studio.look(visit.picture, question, replace(config, layer_index=None))
        known = dict(zip(self._controls, values, strict=True))
        if visit.model != f"{method} {model}":  # whose layers are others
            known["layer_index"] = look.checkpoint.default_layer % look.layers
        layer = known["layer_index"]
        visit = Visit(visit.picture, look, f"{method} {model}")
        if not look.found.facts.get("highlighted", True):
            gr.Warning("The answer has no such part: all looks count.")
        answered = gr.update(value=look.answer, visible=method == "llava")
        slider = gr.update(maximum=look.layers - 1, value=layer, interactive=True)
        return [visit, answered, slider, *self._drawn(visit, method, model, tuple(known.values()))]

    @_said(6)
    def _draw(self, visit: Visit | None, method: str, model: str, *values: Any) -> list[Any]:
        """The picture as the sliders have it; from what the model found out already."""
        if visit is None or visit.look is None:
            return [gr.skip()] * 6
        return self._drawn(visit, method, model, values)

    def _drawn(self, visit: Visit, method: str, model: str, values: tuple[Any, ...]) -> list[Any]:
        assert visit.look is not None
        config = self._choice(method, model, values)
        if not asked_alike(config, visit.look.config):
            return [
                gr.skip(),
                gr.skip(),
                "Ask again: the model was asked something else.",
                "",
                None,
                None,
            ]
        images, flat = draw(visit.look, config)
        line = command(method, config, visit.look.picture.name, visit.look.question)
        files = self._written(visit, images, config)
        said = "The map is flat: the picture stays as it is." if flat else ""
        crop = files.get("crop_file_name")
        return [
            files["file_name"],
            gr.update(value=crop, visible=crop is not None),
            said,
            line,
            files["file_name"],
            files["yaml"],
        ]

    def _choice(self, method: str, model: str, values: tuple[Any, ...]) -> RunConfig:
        chosen = dict(zip(self._controls, values, strict=True))
        if model not in self._models[method]:
            raise UsageError(f"{model}: not one of the models that are offered here")
        chosen |= {"model_name": model, **spelt(method, chosen)}
        return configuration(method, chosen, self._config.device)

    def _written(
        self, visit: Visit, images: Mapping[str, Image.Image], config: RunConfig
    ) -> dict[str, str]:
        """Files of the visit, to be shown and downloaded: pictures as a run writes them."""
        assert visit.look is not None
        folder = Path(mkdtemp(dir=get_upload_folder()))  # from which gradio removes what is old
        stem = Path(visit.look.picture.name).stem
        files = {}
        for column, image in images.items():
            kind = "masked" if column == "file_name" else column.removesuffix("_file_name")
            path = folder / f"{stem}.{kind}.jpg"
            path.write_bytes(encode(image, "jpg", _QUALITY))
            files[column] = str(path)
        said = {**differing(config), "question": visit.look.question}
        path = folder / f"{stem}.yaml"
        path.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True), encoding="utf-8")
        visit.files = {name: Path(file) for name, file in files.items()}
        return files | {"yaml": str(path)}

    def _preset(self, method: str, name: str | None) -> list[Any]:
        """Sliders as a preset has them; those of which it says nothing as by default."""
        if not name:
            return [gr.skip()] * len(self._controls)
        try:
            config = METHODS[method].resolve({}, {}, name)
        except ApipromptError as error:  # of the other method
            gr.Warning(html.escape(str(error)))
            return [gr.skip()] * len(self._controls)
        return [
            gr.skip() if control in _LEFT_ALONE else value_of(control, config)
            for control in self._controls
        ]

    @_said(2)
    def _compare_answers(
        self, visit: Visit | None, question: str, url: str, model: str
    ) -> list[Any]:
        """What a server says about the original, and about what is left of it."""
        if not self._config.is_private:  # nobody else may send this machine about
            url, model = self._config.base_url or "", self._config.model or ""
        if visit is None or visit.look is None or visit.picture is None:
            raise UsageError("ask about a picture first")
        if not url or not model:
            raise UsageError("which server, and which model?")
        name = Path(visit.picture.name).name
        original = {name: encode(visit.picture.image, "jpg", _QUALITY)}
        masked = {path.name: path.read_bytes() for path in visit.files.values()}
        ask = partial(
            answer, question, base_url=url, model=model, api_key_env=self._config.api_key_env
        )
        return [ask(pictures=original), ask(pictures=masked)]


def _selected(event: gr.SelectData) -> str:
    """The part of a text that was selected."""
    return str(event.value)


def _examples() -> list[tuple[str, str]]:
    """Scenes of the demo set, and their questions."""
    return [(str(sample.image), sample.question) for sample in get_dataset("demo")[:_EXAMPLES]]

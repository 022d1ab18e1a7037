"""Asking without a server: transformers' image-text-to-text models in this process, in batches."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from api_cli.asking.client import Outcome
from api_cli.asking.exchange import Failure, Prompt, Reply, Request, Sampling
from api_cli.errors import ModelError, UsageError, first_line
from api_cli.options.launch import default_num_workers
from api_cli.options.prompt import IMAGE, PROMPT_TEMPLATE, fill

_DEMO = "demo"
_DEMO_FOLDER = Path(__file__).parents[1] / "models" / "demo_llava"
_FILES = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.txt")


class LocalModel:
    """A model of transformers that is asked in this process; loaded by the first question.

    Args:
        name: hub id, folder in transformers' format, or `demo`.
        sampling: how it is to answer.
        device: "auto", or what `torch.device` takes.
        precision: a key of `device.DTYPES`, or "auto" for that of the stored weights.
        batch_size: questions together at most; halved for good where memory does not do.

    Raises:
        ModelError: where there is no such model.
    """

    packages: tuple[str, ...] = ("torch", "transformers")

    def __init__(
        self, name: str, sampling: Sampling, device: str, precision: str, batch_size: int
    ) -> None:
        self._name = name
        self._sampling = sampling
        self._device = device
        self._precision = precision
        self._batch_size = batch_size
        self.model_name = Path(name).resolve().name if Path(name).is_dir() else name
        self.record: dict[str, Any] = {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What shapes its answers."""
        sampling = asdict(self._sampling)
        del sampling["detail"], sampling["extra_body"]
        return {
            "backend": "hf",
            "model": self.model_name,
            "weights": self._identity,
            "precision": self._precision,
            **sampling,
        }

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """Nothing: batch files are for servers."""
        raise UsageError("--export-batch is a server's: not with --backend hf")

    def answers(self, requests: Iterable[Request]) -> Generator[list[Outcome], None, None]:
        """What becomes of each request, a batch after the other; pictures are read ahead."""
        waiting = iter(requests)
        with ThreadPoolExecutor(default_num_workers("auto")) as pool:
            reading = [pool.submit(_read, r) for r in islice(waiting, self._batch_size)]
            while reading:
                batch = reading
                reading = [pool.submit(_read, r) for r in islice(waiting, self._batch_size)]
                read = [future.result() for future in batch]
                if failed := [item for item in read if isinstance(item, Failure)]:
                    yield list(failed)
                asked = [item for item in read if not isinstance(item, Failure)]
                for start in range(0, len(asked), self._batch_size):
                    yield list(self._answer(asked[start : start + self._batch_size]))

    def _answer(self, batch: Sequence[tuple[Request, Prompt]]) -> Iterator[Outcome]:
        """Answers of a batch; where it fails, of halves, down to the question to blame."""
        import torch

        model = self._loaded  # what keeps it from loading is no question's fault
        start = time.perf_counter()
        try:
            answers = self._generate(model, [prompt for _, prompt in batch])
        except Exception as error:  # whatever a model raises ends the question, not the run
            if len(batch) == 1:
                text = f"{type(error).__name__}: {first_line(error)}"
                yield Failure(batch[0][0], "ask", text)
                return
            if isinstance(error, torch.OutOfMemoryError | MemoryError):
                self._batch_size = len(batch) // 2
        else:
            latency = round((time.perf_counter() - start) / len(batch), 3)
            for (request, prompt), answer in zip(batch, answers, strict=True):
                yield Reply(request, prompt, *answer, self.model_name, latency)
            return
        half = (len(batch) + 1) // 2
        yield from self._answer(batch[:half])
        yield from self._answer(batch[half:])

    def _generate(
        self, loaded: tuple[Any, Any], prompts: Sequence[Prompt]
    ) -> list[tuple[str, str, int, int]]:
        """Answer, finish_reason, and the tokens of prompt and answer, of each prompt."""
        import torch

        processor, model = loaded
        texts = [self._text(processor, prompt) for prompt in prompts]
        pictures = [
            [Image.open(io.BytesIO(picture.content)).convert("RGB") for picture in prompt.pictures]
            for prompt in prompts
        ]
        inputs = processor(
            text=texts,
            images=pictures if any(pictures) else None,
            padding=True,
            return_tensors="pt",
            # some chat templates write the token that begins a text themselves
            add_special_tokens=not texts[0].startswith(processor.tokenizer.bos_token or "\0"),
        ).to(model.device, dtype=model.dtype)
        if self._sampling.seed is not None:
            torch.manual_seed(self._sampling.seed)
        with torch.inference_mode():
            ids = model.generate(**inputs, **self._options)
        new = ids[:, inputs["input_ids"].shape[1] :]
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        answers = []
        for row, mask in zip(new.tolist(), inputs["attention_mask"], strict=True):
            length = next((n for n, token in enumerate(row, 1) if token in ends), None)
            text = processor.tokenizer.decode(row[:length], skip_special_tokens=True).strip()
            finish = "length" if length is None else "stop"
            answers.append((text, finish, int(mask.sum()), length or len(row)))
        return answers

    @property
    def _options(self) -> dict[str, Any]:
        temperature = self._sampling.temperature
        options: dict[str, Any] = {"max_new_tokens": self._sampling.max_tokens}
        if temperature is None:
            return options
        if temperature == 0:
            return options | {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return options | {"do_sample": True, "temperature": temperature}

    def _text(self, processor: Any, prompt: Prompt) -> str:
        """What the model reads, with a mark for each picture."""
        if self._name == _DEMO:
            marks = "\n".join([IMAGE] * len(prompt.pictures))
            return fill(PROMPT_TEMPLATE, f"{prompt.system}\n{prompt.text}", marks)
        parts = [
            *({"type": "image"} for _ in prompt.pictures),
            {"type": "text", "text": prompt.text},
        ]
        chat = [{"role": "user", "content": parts}]
        if prompt.system:
            system = [{"type": "text", "text": prompt.system}]
            chat.insert(0, {"role": "system", "content": system})
        return str(processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Processor and model. Raises ApipromptError."""
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        from api_cli.relevance.device import DTYPES, pick_device

        device = pick_device(self._device)
        dtype: Any = DTYPES.get(self._precision, "auto")
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            processor = AutoProcessor.from_pretrained(self._source, trust_remote_code=False)
            model = AutoModelForImageTextToText.from_pretrained(
                self._source, dtype=dtype, trust_remote_code=False
            )
            if self._name != _DEMO and not getattr(processor, "chat_template", None):
                raise ValueError("its processor has no chat template")
            processor.tokenizer.padding_side = "left"
            if processor.tokenizer.pad_token_id is None:
                processor.tokenizer.pad_token = processor.tokenizer.eos_token
            return processor, model.eval().to(device)
        except Exception as error:  # transformers raises whatever its parts do
            raise ModelError(
                f"--model {self._name} could not be loaded ({first_line(error)}); --backend hf "
                "takes image-text-to-text models in transformers' format, with a chat template"
            ) from error
        finally:
            logging.set_verbosity(verbosity)
            logging.enable_progress_bar()

    @cached_property
    def _source(self) -> str:
        """What transformers loads: a folder, or a hub id."""
        return str(_DEMO_FOLDER) if self._name == _DEMO else self._name

    @cached_property
    def _identity(self) -> str:
        """What changes where the model's files do: their digest, on the hub their commit."""
        folder = Path(self._source)
        if not folder.is_dir():
            from huggingface_hub import hf_hub_download

            try:
                return Path(hf_hub_download(self._name, "config.json")).parent.name[:16]
            except Exception as error:  # of the hub, the network, or the name
                raise ModelError(
                    f"--model {self._name} is neither demo nor a folder, nor a model of the hub "
                    f"that can be had ({first_line(error)})"
                ) from None
        digest = hashlib.sha256()
        files = sorted(file for pattern in _FILES for file in folder.glob(pattern))
        if not files:
            raise ModelError(f"--model {self._name}: no model in that folder")
        for file in files:
            with file.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            digest.update(f"{file.name} {content}\n".encode())
        return digest.hexdigest()[:16]


def _read(request: Request) -> tuple[Request, Prompt] | Failure:
    try:
        return request, request.prompt()
    except Exception as error:  # whatever a picture's file holds ends the question, not the run
        return Failure(request, "read", f"{type(error).__name__}: {error}")

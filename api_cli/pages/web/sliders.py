"""What the page looks like: its sliders, colours and fonts."""

from __future__ import annotations

from typing import Any

import gradio as gr

from api_cli.masking import FILTERS
from api_cli.masking.renderings import RENDERINGS
from api_cli.pages.web.studio import SOFTMAXES, TOKEN_WEIGHTS

_PRESETS = ("vea", "vicrop", "carve", "attwarp", "mmvet", "llava_wild")
# Gradio's pictures say nothing to those who do not see them
HEAD = """<script>
new MutationObserver(() => {
  for (const image of document.querySelectorAll("#original img, #masked img, #crop img"))
    image.alt ||= image.closest("[id]").id + " picture";
  for (const image of document.querySelectorAll("#examples img")) image.alt = "";
}).observe(document, { childList: true, subtree: true });
</script>"""


def theme() -> Any:
    """Fonts of the system, as those of Gradio's own are fetched from elsewhere, and dark labels."""
    dark, light = "*neutral_800", "*neutral_100"
    return gr.themes.Base(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    ).set(
        block_label_text_color=dark,
        block_label_text_color_dark=light,
        block_title_text_color=dark,
        block_title_text_color_dark=light,
        block_info_text_color=dark,
        block_info_text_color_dark=light,
        body_text_color_subdued="*neutral_700",
        body_text_color_subdued_dark="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )


def sliders() -> dict[str, Any]:
    """What shapes the picture, by the name of a configuration's field where there is one."""
    with gr.Row():
        controls: dict[str, Any] = {
            "preset": gr.Dropdown(["", *_PRESETS], value="", label="Preset"),
            "render": gr.Dropdown(list(RENDERINGS), value="fade", label="Rendering"),
            "fit": gr.Dropdown(["squash", "pad", "paper"], value="squash", label="Fit"),
        }
    with gr.Row():
        controls |= {
            "layer_index": gr.Slider(0, 1, 0, step=1, label="Layer", interactive=False),
            "enhance_coe": gr.Slider(0.5, 20, 5, step=0.5, label="Contrast"),
            "kernel_size": gr.Slider(1, 9, 3, step=2, label="Smoothness"),
        }
    with gr.Row():
        controls |= {
            "grayscale": gr.Slider(0, 255, 0, step=1, label="Grey level"),
            "floor": gr.Slider(0, 1, 0, step=0.05, label="Floor"),
            "share": gr.Slider(0.05, 1, 1, step=0.05, label="Keep (share of patches)"),
        }
    with gr.Accordion("More", open=False):
        with gr.Row():
            controls |= {
                "regions": gr.Slider(0, 6, 0, step=1, label="Regions kept (0: all)"),
                "gaussian": gr.Slider(0, 1, 0, step=0.05, label="Gaussian (0: the mean filter)"),
                "contrasted": gr.Checkbox(True, label="Contrast at all"),
            }
        with gr.Row():
            controls |= {
                "interpolate_method_name": gr.Dropdown(
                    list(FILTERS), value="LANCZOS", label="Filter"
                ),
                "relative": gr.Dropdown(
                    ["none", "ratio", "difference"], value="none", label="Relative (llava)"
                ),
                "denoise": gr.Slider(0, 20, 0, step=1, label="Denoise (llava; 0: not)"),
            }
        with gr.Row():
            controls |= {
                "softmax": gr.Dropdown(list(SOFTMAXES), value="image", label="Softmax (llava)"),
                "token_weights": gr.Dropdown(
                    list(TOKEN_WEIGHTS), value="even", label="Weights of tokens (llava)"
                ),
            }
    return controls

"""The page: an image and a text in, what one run or two say of them out."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gmner.errors import ConfigError, GmnerError
from gmner.reporting.annotate import Annotation, annotate, clean_text
from gmner.reporting.live.answers import OneAtATime, highlighted, remarks, with_boxes

RESULT_NEUTRAL = True  # a page to try a run: no stage imports it
LONGEST_TEXT = 2000
NONE = "no other run"
Annotator = Callable[[str, str], Annotation]


def import_gradio() -> Any:
    """Return the module gradio, set not to call home; raises ConfigError if it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import gradio
    except ImportError as error:
        raise ConfigError(
            f"the page needs the package gradio ({error}); it takes an older pillow than the stages, so it has an "
            "environment of its own: see docs/demo-page.md"
        ) from error
    return gradio


def annotators(decoders: Mapping[str, Any]) -> dict[str, Annotator]:
    """Return for each run's decoder what annotates one image and text."""
    return {name: functools.partial(annotate, decoder) for name, decoder in decoders.items()}


def build_page(runs: Mapping[str, Annotator], examples: Sequence[tuple[str, str]], seconds: float) -> Any:
    """Return the page as a `gradio.Blocks`; one call after the other, each given up on after `seconds`."""
    gr = import_gradio()
    guarded = OneAtATime(seconds)
    names = list(runs)

    def one(name: str, image: str, text: str) -> list[Any]:
        found = guarded(lambda: runs[name](image, text))
        return [with_boxes(found), highlighted(found), found.reasoning or "(none)", remarks(found), found.to_json()]

    def ask(image: str | None, text: str, run: str, other: str) -> list[Any]:
        if not image:
            raise gr.Error("choose an image first")
        if not clean_text(text):
            raise gr.Error("write the words that come with the image")
        if len(text) > LONGEST_TEXT:
            raise gr.Error(f"the text has {len(text)} characters, at most {LONGEST_TEXT} are taken")
        try:
            first = one(run, image, text)
            second = one(other, image, text) if other != NONE else [None] * 5
        except GmnerError as error:
            # Gradio shows messages as markup: what a file or a tweet says must not become any.
            raise gr.Error(_plain(str(error).replace(str(image), Path(image).name))) from error
        return [*first, gr.update(visible=other != NONE), *second]

    with gr.Blocks(title="gmner", analytics_enabled=False) as page:
        gr.Markdown(
            "# Grounded named entity recognition\nEntities of a text: what they are, and where the image shows them."
        )
        with gr.Row():
            with gr.Column(scale=1):
                image = gr.Image(type="filepath", label="Image", sources=["upload", "clipboard"], height=280)
                text = gr.Textbox(
                    label="Text", lines=3, max_length=LONGEST_TEXT, placeholder="the words beside the image"
                )
                run = gr.Dropdown(names, value=names[0], label="Run")
                other = gr.Dropdown([NONE, *names], value=NONE, label="Compare with", visible=len(names) > 1)
                button = gr.Button("Annotate", variant="primary")
            with gr.Column(scale=2), gr.Row():
                first = _answer(gr, visible=True)
                column, second = first[0], _answer(gr, visible=False)
        del column
        outputs = [*first[1:], second[0], *second[1:]]
        button.click(ask, [image, text, run, other], outputs, api_name="annotate", concurrency_limit=2)
        if examples:
            gr.Examples([list(pair) for pair in examples], [image, text], label="Examples from the test set")
    page.queue(max_size=16)
    return page


def _answer(gr: Any, visible: bool) -> list[Any]:
    """Return the column of one run's answer and its parts."""
    with gr.Column(visible=visible, min_width=280) as column:
        seen = gr.AnnotatedImage(label="Regions", height=420)
        words = gr.HighlightedText(label="Mentions", show_legend=True, combine_adjacent=False)
        with gr.Accordion("Reasoning", open=False):
            reasoning = gr.Textbox(show_label=False, lines=4)
        with gr.Accordion("Not seen, and problems", open=False):
            odd = gr.Textbox(show_label=False, lines=2)
        with gr.Accordion("As JSON", open=False):
            raw = gr.JSON(show_label=False)
    return [column, seen, words, reasoning, odd, raw]


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def serve(page: Any, host: str, port: int | None, largest_file: str, examples: Sequence[tuple[str, str]]) -> Any:
    """Serve the page and return what Gradio's launch returns; no fonts or scripts of other hosts, never shared."""
    gr = import_gradio()
    sans = ["system-ui", "sans-serif"]
    return page.launch(
        server_name=host,
        server_port=port,
        share=False,
        max_file_size=largest_file,
        allowed_paths=sorted({str(Path(path).resolve()) for path, _ in examples}),
        theme=gr.themes.Default(font=sans, font_mono=["ui-monospace", "monospace"]),
        footer_links=["api"],
        prevent_thread_lock=True,
    )

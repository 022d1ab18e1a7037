"""A page to try the method by hand: a picture, a question, and sliders.

`choice.py` is what a visitor chooses, as the configuration of a subcommand and as the command that
does the same; `studio.py` has the models and makes the pictures; `answering.py` asks a server;
`app.py` puts them on a page, which `serving.py` serves; `sliders.py` says what it looks like. These
three alone import gradio.
"""

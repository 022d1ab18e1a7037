"""A page to try the method by hand: a picture, a question, and sliders.

`choice.py` is what a visitor chooses, as the configuration of a subcommand and as the command that
does the same; `studio.py` has the models and makes the pictures; `answering.py` asks a server;
`app.py` puts them on a page, `sliders.py` says what that looks like; these alone import gradio.
"""

"""Runs as people look at them: a page for the browser, and a picture of several samples."""

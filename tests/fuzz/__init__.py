"""Inputs that nobody would write: each target takes any bytes and may only refuse them in words.

    python -m tests.fuzz [--target NAME] [--runs N] [--seconds S] [--engine guided|drawn] [--seed N]

With atheris (group ``fuzz`` of pyproject.toml) a campaign follows the coverage of the program; without it
inputs are drawn by hypothesis from the same seeds. Every target runs in a process of its own, behind a fence:
nothing outside its folder is written, no program is started, no stranger's socket is opened.
"""

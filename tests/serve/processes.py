"""Processes that a test started, and their children."""

from __future__ import annotations

import signal

import psutil

END_S = 90


def replicas_of(process: psutil.Process, deployment: str) -> list[psutil.Process]:
    """The processes of a deployment, by the titles that Ray gives them: with a method, where they are at one."""
    found, title = [], f"ray::ServeReplica:raypipe:{deployment}"
    for child in process.children(recursive=True):
        try:
            if child.cmdline()[:1] and child.cmdline()[0].partition(".")[0] == title:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def end_processes(process: psutil.Popen) -> None:
    """Ctrl-C, and whoever is left afterwards is killed."""
    left = [*process.children(recursive=True), process] if process.is_running() else []
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except psutil.TimeoutExpired:
            process.kill()
    for each in left:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue

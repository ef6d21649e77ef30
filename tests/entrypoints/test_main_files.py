"""What stands in ``functions/*/main.py``: the two names that servers look for, and no logic."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.entrypoints.serving import FUNCTIONS, HTTP_SERVICES

MAINS = sorted(FUNCTIONS.glob("*/main.py"))
MOST_LINES = 25
LOGIC = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match),
    *(ast.BoolOp, ast.Compare, ast.Lambda, ast.comprehension, ast.ClassDef),
)

TWICE = """
import asyncio, json, sys
import functions_framework.aio
import main

async def ask(app, path):
    sent = []
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
    await app(scope, receive, send)
    return sent[0]["status"]

loads = sys.modules["loads"]
statuses = [asyncio.run(ask(main.app, path)) for path in ("/api/studies", "/robots.txt")]
ours = loads.count
functions_framework.aio.create_asgi_app("entry", main.__file__)
print(json.dumps({"statuses": statuses, "ours": ours, "framework": loads.count - ours}))
"""
COUNTING = """
import sys, types
sys.modules.setdefault("loads", types.SimpleNamespace(count=0)).count += 1
"""


def test_every_http_service_of_the_design_is_there() -> None:
    assert set(HTTP_SERVICES) == {"api", "dicomweb", "web"}


@pytest.mark.parametrize("main", MAINS, ids=lambda path: path.parent.name)
def test_main_has_no_logic(main: Path) -> None:
    tree = ast.parse(main.read_text("utf-8"))
    found = [type(node).__name__ for node in ast.walk(tree) if isinstance(node, LOGIC)]
    assert not found
    names = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}
    assert names == {"entry"}


@pytest.mark.parametrize("main", MAINS, ids=lambda path: path.parent.name)
def test_main_is_short(main: Path) -> None:
    lines = [
        line for line in main.read_text("utf-8").splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert len(lines) <= MOST_LINES


@pytest.mark.parametrize("service", HTTP_SERVICES)
def test_main_is_loaded_once(service: str, tmp_path: Path) -> None:
    source = (FUNCTIONS / service / "main.py").read_text("utf-8")
    (tmp_path / "main.py").write_text(source + COUNTING, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", TWICE], cwd=tmp_path, env={}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    # Without settings the answer is 503, by our own words and not by the framework's.
    assert told == {"statuses": [503, 503], "ours": 1, "framework": 1}, "create_asgi_app would load it a second time"

"""A fake of Cloud Tasks, for one queue.

It has: ``POST .../queues/Q/tasks`` (``projects.locations.queues.tasks.create``) with name, schedule time and HTTP
request; 401 without the token, 400 for a task of another queue or without an address, 404 for another queue, 409 for a
name that is there or was. It calls nobody, and lacks everything else.

Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tests.fakes.loopback import Answer, Asked, serve

__all__ = ["QUEUE", "CloudTasks", "run_cloud_tasks"]

QUEUE = "projects/p/locations/l/queues/deliveries"


class CloudTasks:
    """The service's state. ``status`` other than 200 is what it answers whatever it is asked."""

    def __init__(self, token: str) -> None:
        self.origin = ""
        self.token = token
        self.status = 200
        self.asked: list[Asked] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    @property
    def queue(self) -> str:
        """What the setting names."""
        return f"{self.origin}/v2/{QUEUE}"

    @property
    def due(self) -> list[datetime]:
        """When the tasks are due, the earliest first."""
        return sorted(datetime.fromisoformat(task["scheduleTime"]) for task in self.tasks.values())

    def handle(self, asked: Asked) -> Answer:
        """Answer a request."""
        with self._lock:
            self.asked.append(asked)
            if asked.headers.get("authorization") != f"Bearer {self.token}":
                return Answer({"error": {"code": 401}}, 401)
            if self.status != 200:
                return Answer({"error": {"code": self.status}}, self.status)
            if (asked.method, asked.path) != ("POST", f"/v2/{QUEUE}/tasks"):
                return Answer({"error": {"code": 404}}, 404)
            task = json.loads(asked.body)["task"]
            name = task["name"]
            if not name.startswith(f"{QUEUE}/tasks/") or not task["httpRequest"]["url"].startswith("https://"):
                return Answer({"error": {"code": 400}}, 400)
            if name in self.tasks:
                return Answer({"error": {"code": 409, "status": "ALREADY_EXISTS"}}, 409)
            self.tasks[name] = task
            return Answer(task)


@contextmanager
def run_cloud_tasks(*, token: str = "ya29.tasks") -> Iterator[CloudTasks]:
    """Run one."""
    fake = CloudTasks(token)
    with serve(fake.handle) as origin:
        fake.origin = origin
        yield fake

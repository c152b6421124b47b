"""Work that is killed with SIGKILL at its n-th change to the disk, in a forked child: what was imported before is not imported again.

For scripts that tests start as processes of their own. They fork before any thread is started: Polars, DuckDB and Dagster do not survive
a fork later.
"""

import os
import signal
import sys
from collections.abc import Callable


def in_child(work: Callable[[], object]) -> bool:
    """Whether `work` came to its end in a forked process. False when it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the child failed"
        return True
    assert os.WTERMSIG(status) == signal.SIGKILL
    return False


def killed_at(moment: int, is_change: Callable[[str, tuple[object, ...]], bool], work: Callable[[], object]) -> bool:
    """Run `work` in a child that is killed right before its n-th change; True when it finished with fewer."""

    def child() -> None:
        left = moment

        def hook(event: str, args: tuple[object, ...]) -> None:
            nonlocal left
            if is_change(event, args):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()

    return in_child(child)

"""What the command line does with errors: one sentence for the user's, a log file for ours."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer

from engine.errors import CancelledError, EOTranslateError

_P = ParamSpec("_P")
_R = TypeVar("_R")

FAULT_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h


@contextmanager
def reported() -> Iterator[None]:
    """Turns an error inside the block into a sentence on stderr and an exit code.

    An ``EOTranslateError`` is the caller's to mend: its own sentence and code. Anything else is a fault of
    this program: the traceback goes to a log file and the sentence says where that is.
    """
    try:
        yield
    except EOTranslateError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt:
        _say("Cancelled.")
        sys.exit(CancelledError.exit_code)
    except BrokenPipeError:
        # The reader of a pipe has gone (``| head``); closing stderr keeps the interpreter from complaining.
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        _say(fault_sentence(error))
        sys.exit(FAULT_EXIT_CODE)


def plain_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorator: ``reported`` around a whole command."""

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with reported():
            return command(*args, **kwargs)

    return wrapped


def fault_sentence(error: BaseException) -> str:
    """Writes the traceback to a log file and says so in one sentence."""
    kind = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    try:
        path = log_folder() / f"fault-{datetime.now():%Y%m%d-%H%M%S}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return f"This is a fault of EO Translate ({kind}); please report it with the command that you gave."
    return f"This is a fault of EO Translate ({kind}); please report it with the log {path}."


def log_folder() -> Path:
    """Where logs of faults go."""
    import platformdirs

    return Path(platformdirs.user_log_dir("eo-translate"))


def _say(sentence: str) -> None:
    sys.stderr.write(sentence.rstrip() + "\n")

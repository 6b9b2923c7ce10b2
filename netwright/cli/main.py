"""The `netwright` command: finds its sub-commands by file and turns errors into exit codes."""

from __future__ import annotations

import errno
import importlib
import json
import os
import pkgutil
import re
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import click

OK, INTERNAL, USER, INTERRUPTED = 0, 1, 2, 130

MENDABLE = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG),
        *(errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.EINVAL, errno.ENOTSUP),
    }
)
"""What the system says of a path that a person gave."""

FULL = ("No space left on device", "Disk quota exceeded", "File too large", "disk is full", "disk I/O error")
"""What the system and SQLite say where nothing more can be written."""

STOPPED = "stopped by the user; what was recorded is kept. Go on with: the same command"

EXIT_CODES = (
    "Exit codes: 0 done, 2 something you can mend (one sentence says what), 130 stopped by Ctrl-C, "
    "1 a fault of netwright itself."
)

HELP = f"""Find a neural network that fits a task and a device, make it smaller, prove that it runs.

\b
  netwright quickstart                       the whole way on bundled data
  netwright search recipe.yaml --out RUN     search a space
  netwright compress RUN --trial best        make the winner smaller
  netwright report RUN                       one self-contained HTML page
  netwright dashboard RUN                    follow a running search
  netwright export RUN --trial best          a folder ready for deployment

{EXIT_CODES}
"""


class Commands(click.Group):
    """The sub-commands: every file in `folder` is one, imported when it is needed."""

    folder: ClassVar[str] = "commands"

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name.replace("_", "-") for name in _files(self.folder)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        name = cmd_name.replace("-", "_")
        if name not in _files(self.folder):
            return None
        command = importlib.import_module(f"netwright.cli.{self.folder}.{name}").command
        assert isinstance(command, click.Command)
        return _with_exit_codes(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with its whole first sentence; click would cut it to one line."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, found.get_short_help_str(limit=200)) for name, found in commands.items() if found]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from netwright.core.errors import suggestion

            raise click.UsageError(
                f"no command is called {args[0]!r}{suggestion(args[0], self.list_commands(ctx))}", ctx
            ) from None


def _with_exit_codes(command: click.Command) -> click.Command:
    """The command with the exit codes at the end of its help, and those below it likewise."""
    if EXIT_CODES not in (command.epilog or ""):
        command.epilog = f"{command.epilog or ''}\n\n{EXIT_CODES}".strip()
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _with_exit_codes(below)
    return command


def _files(folder: str) -> list[str]:
    path = Path(__file__).parent / folder
    return sorted(m.name for m in pkgutil.iter_modules([str(path)]) if not m.name.startswith("_"))


@click.command(cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="netwright")
def cli() -> None:
    """The root command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    if "" not in sys.path:  # the current folder, where a user's own tasks and spaces are found
        sys.path.insert(0, "")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 -- stays open to the end
        getattr(sys, name).reconfigure(errors="backslashreplace")  # names of files may be no text
    from netwright.core.interrupt import be_stoppable, end_in_silence

    be_stoppable()
    code = INTERRUPTED
    with suppress(KeyboardInterrupt):  # one more while the first is told of
        code = run(given)
    end_in_silence()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code, and says in one sentence what went wrong."""
    as_json = "--json" in arguments
    try:
        cli.main(args=arguments, prog_name="netwright", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        hint = f"\nTry: {error.ctx.command_path} --help" if error.ctx else ""
        said = re.sub(r"a valid integer( range)?", "a whole number", error.format_message())
        return _fail(said.replace("a valid float range", "a number") + hint, USER, as_json)
    except click.ClickException as error:
        return _fail(error.format_message(), USER, as_json)
    except (KeyboardInterrupt, click.Abort):
        return _fail(STOPPED, INTERRUPTED, as_json)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 -- nobody reads any more; keep the exit quiet
        return OK
    except Exception as error:
        return _explain(error, as_json)
    return OK


def _explain(error: Exception, as_json: bool) -> int:
    from netwright.core.errors import InterruptedRunError, NetwrightError
    from netwright.core.own_code import own_place

    if isinstance(error, NetwrightError):
        return _fail(str(error), INTERRUPTED if isinstance(error, InterruptedRunError) else USER, as_json)
    if any(said in str(error) for said in FULL):
        return _fail(
            "the disk is full, or a quota or limit on files is reached; what was recorded is kept. Free some space, "
            "then give the command again; a search goes on with --resume RUN",
            USER,
            as_json,
        )
    if isinstance(error, OSError) and error.errno in MENDABLE:
        return _fail(f"{error.filename or 'a file'} cannot be written or read: {error.strerror}", USER, as_json)
    text = str(error).splitlines()[0] if str(error) else ""
    own = own_place(error)
    if own:
        return _fail(f"your own code stopped at {own}: {type(error).__name__}: {text}", USER, as_json)
    with tempfile.NamedTemporaryFile("w", prefix="netwright-", suffix=".log", delete=False) as log:
        log.write("".join(traceback.format_exception(error)))
    return _fail(f"internal fault: {type(error).__name__}: {text}\nDetails: {log.name}", INTERNAL, as_json)


def _fail(message: str, code: int, as_json: bool) -> int:
    from netwright.core.interrupt import undisturbed

    with undisturbed():
        with suppress(OSError):  # a full disk may be where the output goes
            if as_json:
                print(json.dumps({"error": message, "exit_code": code}), flush=True)
        with suppress(OSError):  # nobody may read it
            print(f"error: {message}", file=sys.stderr, flush=True)
    return code

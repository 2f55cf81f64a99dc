"""The command line: `easgd`, or `python -m easgd_lib`. Errors are one line, status 2.

`easgd --help` needs neither torch nor MPI: see `commands`.
"""

import os
import sys
import warnings

import click

from easgd_lib.commands import measure, papers
from easgd_lib.commands.train import train
from easgd_lib.errors import EasgdError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def app():
    """Elastic Averaging SGD on MPI engines: check, train, reproduce, draw."""


for command in (
    measure.doctor,
    train,
    papers.reproduce,
    papers.draw,
    measure.benchmark,
    measure.calibrate,
    papers.data,
):
    app.add_command(command)


def main() -> None:
    """Entry point: whatever is wrong reaches the user as one line on stderr, status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no τ shows a ?
    warnings.showwarning = _say
    sys.path.append(os.getcwd())  # where a user's own modules lie; `python -m` looks there too
    try:
        app(standalone_mode=False)
        status = 0
    except click.exceptions.Abort:
        status = 130
    except KeyboardInterrupt:
        print("easgd: interrupted", file=sys.stderr)
        status = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = 2
    except click.ClickException as error:
        status = _complain(error.format_message())
    except EasgdError as error:
        status = _complain(str(error))
    if "easgd_lib.parallel.world" in sys.modules:
        from easgd_lib.parallel.world import leave

        leave(status)
    sys.exit(status)


def _say(message, category, filename, lineno, file=None, line=None):
    """A warning, on one line."""
    print(f"easgd: note: {' '.join(str(message).split())}", file=sys.stderr)


def _complain(message: str) -> int:
    print(f"easgd: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()

"""Rows for a person, or for a script."""

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lastword.contract.printable import printable


def print_table(names: Sequence[str], rows: Iterable[Iterable[object]], *, err: bool = False) -> None:
    """Print a table on a terminal; elsewhere a line for each row with tabs between, and no names."""
    texts = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        for cells in texts:
            click.echo("\t".join(cells), err=err)
        return
    table = Table(*names)
    for cells in texts:
        table.add_row(*map(Text, cells))  # Text, since rich would obey what stands in brackets
    Console(file=stream).print(table)

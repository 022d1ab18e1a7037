"""What `apiprompt maps` has to say of the relevance maps that are kept."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from api_cli.errors import UsageError
from api_cli.runs.map_store import list_stores, remove_store

if TYPE_CHECKING:
    from rich.table import Table


def show_maps(output_folder: Path, prune: Collection[str]) -> Table | str:
    """A table of the stores of kept maps; those to prune are deleted.

    Args:
        output_folder: in which run folders, and the stores, are.
        prune: names of stores, or `all`.

    Raises:
        UsageError: for a name that is no store's.
    """
    from rich.table import Table

    stores = {store.folder.name: store for store in list_stores(output_folder)}
    for name in prune:
        if name != "all" and name not in stores:
            raise UsageError(
                f"--prune {name}: no such maps in {output_folder}; there are "
                f"{', '.join(stores) or 'none'}"
            )
    table = Table("name", "maps", "files", "MB", "", box=None, header_style="bold")
    for name, store in stores.items():
        gone = name in prune or "all" in prune
        if gone:
            remove_store(store.folder)
        size = f"{store.bytes / 1e6:.1f}"
        table.add_row(name, str(store.maps), str(store.files), size, "deleted" if gone else "")
    return table if stores else f"no maps are kept in {output_folder}"

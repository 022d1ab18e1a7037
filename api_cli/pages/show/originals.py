"""The originals of runs' samples, from the datasets that the runs were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from threading import Lock

from api_cli.errors import first_line
from api_cli.options.data import DataConfig
from api_cli.pages.show.runs import GoneError, Item, Run
from api_cli.runs.columns import text
from datasets_manager import Sample, get_dataset


class Originals:
    """The originals of runs' samples; a dataset is opened when its first picture is asked for.

    Args:
        runs: whose samples they are.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._of_run = [run.data for run in runs]
        self._opened: dict[DataConfig | str, Mapping[str, Sample] | str] = {}
        self._lock = Lock()

    def read(self, item: Item) -> bytes:
        """The content of a sample's original.

        Raises:
            GoneError: where no run's dataset has it any more, or has another picture there.
        """
        gone = GoneError("no run has it")
        for number, (row, error) in enumerate(zip(item.rows, item.errors, strict=True)):
            if row is None and error is None:
                continue
            try:
                content = self.content(self.sample(number, item.key))
            except GoneError as why:
                gone = why
                continue
            wanted = None if row is None else row.get("image_sha256")
            if wanted in (None, sha256(content).hexdigest()):
                return content
            gone = GoneError("the dataset has another picture now")
        raise gone

    def sample(self, number: int, key: str) -> Sample:
        """A run's sample as its dataset has it now. Raises GoneError where it has not.

        Args:
            number: of the run.
            key: of the sample.
        """
        data = self._of_run[number]
        with self._lock:
            if data not in self._opened:
                self._opened[data] = _open(data)
            samples = self._opened[data]
        if isinstance(samples, str):
            raise GoneError(f"the dataset cannot be opened: {samples}")
        try:
            return samples[key]
        except KeyError:
            raise GoneError("no longer in the dataset") from None

    def content(self, sample: Sample) -> bytes:
        """A sample's encoded picture. Raises GoneError where it cannot be read."""
        try:
            return sample.read_image()
        except Exception as error:  # whatever a dataset's own function raises
            raise GoneError(f"{type(error).__name__}: {first_line(error)}") from error


def _open(data: DataConfig | str) -> Mapping[str, Sample] | str:
    """A dataset's samples by key; what is wrong with it where it cannot be opened."""
    if isinstance(data, str):
        return data
    try:
        dataset = get_dataset(data.dataset, data.data_root, data.dataset_options)
        return {text(sample.key): sample for sample in dataset}
    except Exception as error:  # of the dataset, or of a plug-in's own function
        return first_line(error)

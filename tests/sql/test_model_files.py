"""The files of a model come back as they were stored, or not at all, and none of them can carry code."""

import pickle
from pathlib import Path

import pytest

from aisle.db import Connection, errors, model_registry
from tests.conftest import TinyModel


@pytest.fixture
def stored(connection: Connection, tiny_model: TinyModel, tmp_path: Path) -> int:
    """The id of a model with two files."""
    folder = tmp_path / "stored"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 10)
    (folder / "sub" / "config.json").write_text('{"a": 1}')
    model_registry.write_files(connection, tiny_model.model_id, folder)
    return tiny_model.model_id


def test_files_come_back_as_they_were(connection: Connection, stored: int, tmp_path: Path) -> None:
    model_registry.read_files(connection, stored, tmp_path / "read")
    assert (tmp_path / "read/weights.safetensors").read_bytes() == bytes(range(256)) * 10
    assert (tmp_path / "read/sub/config.json").read_text() == '{"a": 1}'


@pytest.mark.trap(26)
@pytest.mark.parametrize(
    "tampering",
    [
        "update aisle._model_file_chunks set content = set_byte(content, 100, 7) where name = 'weights.safetensors'",
        "update aisle._model_file_chunks set content = content || '\\x00' where name = 'weights.safetensors'",
        "delete from aisle._model_file_chunks where name = 'weights.safetensors'",
    ],
    ids=["a byte", "a byte more", "nothing left"],
)
def test_a_tampered_file_is_refused(connection: Connection, stored: int, tmp_path: Path, tampering: str) -> None:
    connection.execute(tampering.encode())
    with pytest.raises(
        errors.CorruptModelFileError, match=r"weights\.safetensors of model \d+ does not match"
    ) as caught:
        model_registry.read_files(connection, stored, tmp_path / "read")
    assert "rollback" in str(caught.value.hint)
    assert not (tmp_path / "read/weights.safetensors").exists(), "Nobody shall find it and load it."


@pytest.mark.trap(26)
@pytest.mark.parametrize(
    "name", ["model.pkl", "pytorch_model.bin", "model.pt", "model.py", "../escaped.json", "/etc/x.json"]
)
def test_a_file_that_could_carry_code_or_leave_its_folder_is_refused(
    connection: Connection, stored: int, tmp_path: Path, name: str
) -> None:
    connection.execute("delete from aisle._model_file_chunks where name = 'sub/config.json'")
    connection.execute("update aisle._model_files set name = %s where name = 'sub/config.json'", (name,))
    with pytest.raises(errors.CorruptModelFileError, match="unexpected name"):
        model_registry.read_files(connection, stored, tmp_path / "read")
    assert not (tmp_path / "escaped.json").exists()


@pytest.mark.trap(26)
def test_a_pickle_is_not_stored(connection: Connection, tiny_model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps("harmless"))
    with pytest.raises(ValueError, match=r"model\.pkl"):
        model_registry.write_files(connection, tiny_model.model_id, tmp_path)
    assert connection.execute("select from aisle._model_files").fetchall() == []

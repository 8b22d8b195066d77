"""What is sealed opens with its key, in its place, unaltered; and with nothing else."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemed.store.sealing import (
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    WRAPPED_BYTES,
    DataKey,
    KeyFileDamaged,
    KeyFileOpen,
    KeyFileUnusable,
    SealBroken,
    Sealer,
)

KEY = bytes(range(KEY_BYTES))
TEXTS = st.binary(max_size=200)


@given(plain=TEXTS, context=TEXTS)
def test_what_was_sealed_opens_in_its_place(plain: bytes, context: bytes) -> None:
    nonce, sealed = DataKey(KEY).seal(plain, context)
    assert (len(nonce), len(sealed)) == (NONCE_BYTES, len(plain) + TAG_BYTES)
    assert DataKey(KEY).open(nonce, sealed, context) == plain


@given(plain=TEXTS, context=TEXTS)
def test_the_same_bytes_give_the_same_nonce_and_ciphertext(plain: bytes, context: bytes) -> None:
    assert DataKey(KEY).seal(plain, context) == DataKey(KEY).seal(plain, context)


@given(first=st.tuples(TEXTS, TEXTS), second=st.tuples(TEXTS, TEXTS))
def test_other_bytes_or_another_place_give_another_nonce(
    first: tuple[bytes, bytes], second: tuple[bytes, bytes]
) -> None:
    if first != second:
        assert DataKey(KEY).seal(*first)[0] != DataKey(KEY).seal(*second)[0]


def test_the_border_between_context_and_plain_bytes_counts() -> None:
    assert DataKey(KEY).seal(b"bc", b"a")[0] != DataKey(KEY).seal(b"c", b"ab")[0]


@given(plain=TEXTS, at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_altered_bit_is_noticed(plain: bytes, at: int, bit: int) -> None:
    key = DataKey(KEY)
    nonce, sealed = key.seal(plain, b"chunk 1 2")
    whole = bytearray(nonce + sealed)
    whole[at % len(whole)] ^= 1 << bit
    with pytest.raises(SealBroken):
        key.open(bytes(whole[:NONCE_BYTES]), bytes(whole[NONCE_BYTES:]), b"chunk 1 2")


def test_every_truncation_is_noticed() -> None:
    key = DataKey(KEY)
    nonce, sealed = key.seal(b"samples", b"place")
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            key.open(nonce, sealed[:length], b"place")
    for length in range(NONCE_BYTES):
        with pytest.raises(SealBroken):
            key.open(nonce[:length], sealed, b"place")


def test_another_place_or_another_key_does_not_open() -> None:
    nonce, sealed = DataKey(KEY).seal(b"samples", b"chunk 1 2")
    with pytest.raises(SealBroken):
        DataKey(KEY).open(nonce, sealed, b"chunk 1 3")
    with pytest.raises(SealBroken):
        DataKey(Sealer.new_key()).open(nonce, sealed, b"chunk 1 2")


def test_a_key_wraps_under_the_installation_or_another_key_and_not_both() -> None:
    sealer, patient, stream = Sealer(KEY), Sealer.new_key(), Sealer.new_key()
    wrapped_patient, wrapped_stream = sealer.wrap(patient), sealer.wrap(stream, under=patient)
    assert len(wrapped_patient) == len(wrapped_stream) == WRAPPED_BYTES
    assert sealer.unwrap(wrapped_patient) == patient
    assert sealer.unwrap(wrapped_stream, under=patient) == stream
    assert stream not in wrapped_stream
    for blob, under in ((wrapped_patient, patient), (wrapped_stream, None), (wrapped_stream, stream)):
        with pytest.raises(SealBroken):
            sealer.unwrap(blob, under=under)
    with pytest.raises(SealBroken):
        Sealer(Sealer.new_key()).unwrap(wrapped_patient)


def test_every_altered_or_missing_byte_of_a_wrapped_key_is_noticed() -> None:
    sealer = Sealer(KEY)
    wrapped = sealer.wrap(Sealer.new_key())
    for index in range(WRAPPED_BYTES):
        altered = bytearray(wrapped)
        altered[index] ^= 1
        for blob in (bytes(altered), wrapped[:index]):
            with pytest.raises(SealBroken):
                sealer.unwrap(blob)
    with pytest.raises(SealBroken):
        sealer.unwrap(wrapped + b"\0")


def test_wrapping_and_sealing_do_not_share_a_key() -> None:
    """A patient's key both wraps and seals: bytes of one must not open as the other."""
    wrapped = Sealer(Sealer.new_key()).wrap(Sealer.new_key(), under=KEY)
    with pytest.raises(SealBroken):
        DataKey(KEY).open(wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :], wrapped[:1])


@pytest.mark.parametrize("make", [DataKey, Sealer, Sealer(KEY).wrap])
@pytest.mark.parametrize("length", [0, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_of_another_length_is_a_bug(make: Callable[[bytes], object], length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make(bytes(length))


def test_the_key_file_is_made_once_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "installation.key"
    wrapped = Sealer.load(path).wrap(KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == KEY_BYTES
    assert [entry.name for entry in path.parent.iterdir()] == ["installation.key"]
    assert Sealer.load(path).unwrap(wrapped) == KEY


def test_many_first_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path, ready, sealers = tmp_path / "key", threading.Barrier(8), list[Sealer]()

    def load() -> None:
        ready.wait()
        sealers.append(Sealer.load(path))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrapped = sealers[0].wrap(KEY)
    assert [sealer.unwrap(wrapped) for sealer in sealers] == [KEY] * 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_key_file_that_others_may_touch_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyFileOpen) as refusal:
        Sealer.load(key_file)
    assert refusal.value.params == {"path": str(key_file)}


@pytest.mark.parametrize("content", [b"", bytes(KEY_BYTES - 1), bytes(KEY_BYTES + 1)])
def test_a_key_file_of_another_length_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileDamaged):
        Sealer.load(path)
    assert path.read_bytes() == content


def test_a_key_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(KeyFileDamaged):
        Sealer.load(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyFileUnusable):
        Sealer.load(tmp_path / "file" / "key")

"""How Flink's cluster gets Beam, and what its settings are."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from infra.local.servers import beam_jars, flink
from infra.local.servers.server import Place, ServerError

SERVICE = "META-INF/services/x.Y"


def jar(path: Path, **files: str) -> None:
    with zipfile.ZipFile(path, "w") as z:
        for name, text in files.items():
            z.writestr(name, text)


def test_jars_become_one_with_all_services_the_first_of_each_file_and_no_signature(
    tmp_path: Path,
) -> None:
    jar(tmp_path / "a.jar", **{SERVICE: "p.A\n", "p/A.class": "first", "META-INF/K.SF": "signed"})
    jar(tmp_path / "b.jar", **{SERVICE: "p.B\np.A", "p/A.class": "second", "p/B.class": "b"})
    jar(tmp_path / "flink-core.jar", **{"q/F.class": "the cluster has it"})
    beam_jars.merge(tmp_path, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as merged:
        assert sorted(merged.namelist()) == [
            "META-INF/MANIFEST.MF",
            SERVICE,
            "p/A.class",
            "p/B.class",
        ]
        assert merged.read("p/A.class") == b"first"
        assert merged.read(SERVICE).split() == [b"p.A", b"p.B"]


def test_every_address_of_the_cluster_is_loopback_and_settings_can_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, tmp_path, {}, {}, tmp_path)
    monkeypatch.setenv("PENSTOCK_FLINK", "state.backend.type: rocksdb; a.b: c: d")
    found = flink.configuration(place, {"rest": 1, "rpc": 2})
    assert found["state.backend.type"] == "rocksdb"
    assert found["a.b"] == "c: d"
    addresses = {v for k, v in found.items() if k.endswith(("address", "host"))}
    assert addresses == {"127.0.0.1"}
    monkeypatch.setenv("PENSTOCK_FLINK", "nonsense")
    with pytest.raises(ServerError, match="PENSTOCK_FLINK must hold"):
        flink.configuration(place, {"rest": 1, "rpc": 2})

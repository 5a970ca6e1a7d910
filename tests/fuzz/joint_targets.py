"""Joint diffusion models: their packages, and the published files that are imported."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from hashlib import sha256
from pathlib import Path

import mutations
import torch
from joint_packages import HEADS, beta_files
from targets import Target

from engine.models import store
from engine.models.joint_import import import_joint
from engine.models.verify import verify

_FILES = ("nnet_ema_114000.pth", "autoencoder_kl_ema.pth")


class Joint(Target):
    """A package with changed fields or tensors, or an import of changed checkpoints."""

    only_package = True

    def __init__(self, seeds):
        super().__init__(seeds)
        torch.set_num_threads(1)
        self._home = seeds / "joint"
        if not self._home.exists():
            beta_files(self._home)
        os.environ["XDG_DATA_HOME"] = str(self._home / "home")  # the cases have their own
        self._package = import_joint("cop-gen-beta", *self._files(), "joint", HEADS, replace=True).folder

    def run(self, rng, folder):
        kind = rng.choice(("item", "item", "tensors", "import", "import"))
        if kind == "import":
            return self._import(rng, folder)
        package = Path(shutil.copytree(self._package, folder / "package" / "joint"))
        item = json.loads((package / "item.json").read_bytes())
        if kind == "tensors":
            _vouched(rng, package, item)
        text = mutations.json_text(rng, item) if kind == "item" else json.dumps(item).encode()
        (package / "item.json").write_bytes(text)
        if rng.random() < 0.5:
            store.install(package)
        else:
            verify(store.find(package).folder)
        return True

    def _files(self):
        return tuple(self._home / name for name in _FILES)

    def _import(self, rng, folder):
        given = []
        for source in self._files():
            target = folder / source.name
            data = source.read_bytes()
            changed = rng.choice((mutations.mangle, _repacked, _legacy, _unchanged))(rng, data)
            target.write_bytes(changed)
            given.append(target)
        return import_joint("cop-gen-beta", *given, "joint", heads=rng.choice((HEADS, None))).id == "joint"


def _unchanged(rng, data):
    return data


def _repacked(rng, data):
    """The archive with a changed pickle, or another part, and true checksums: only torch can refuse it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        chosen = rng.choice([name for name in names if name.endswith("data.pkl")] * 5 + names)
        for name in names:
            part = old.read(name)
            new.writestr(name, mutations.mangle(rng, part) if name == chosen else part)
    return made.getvalue()


def _legacy(rng, data):
    made = io.BytesIO()
    state = torch.load(io.BytesIO(data), weights_only=True)
    torch.save(state, made, _use_new_zipfile_serialization=False)
    return mutations.mangle(rng, made.getvalue())


def _vouched(rng, package, item):
    """Changed tensors that the item vouches for: only the networks can tell."""
    key = rng.choice(("model", "autoencoder"))
    path = package / item["assets"][key]["href"]
    data = path.read_bytes()
    head = 8 + int.from_bytes(data[:8], "little")
    data = mutations.mangle(rng, data[:head]) + data[head:]
    path.write_bytes(data)
    item["assets"][key]["file:size"] = len(data)
    item["assets"][key]["file:checksum"] = "1220" + sha256(data).hexdigest()

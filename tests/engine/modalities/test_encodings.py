import json

import pytest
from encoder_groups import ENCODINGS
from pydantic import ValidationError

WRONG = [
    ("backscatter", {"db": [5.0, -5.0]}, "two rising numbers"),
    ("height", {"log": [1.0, 1.0]}, "two rising numbers"),
    ("linear", {"scale": 0.0}, "scale must not be 0"),
    ("classes", {"classes": [("a", 1), ("b", 1)]}, "values must differ"),
    ("classes", {"classes": [("Snow / ice", 1), ("snow ice", 2)]}, "names must differ"),
    ("classes", {"classes": [("a", 1), ("/", 2)]}, "must have a name"),
    ("hillshade-thumbnail", {"spacing_px": 0}, "greater than or equal to 1"),
]


@pytest.mark.parametrize(("kind", "change", "words"), WRONG)
def test_fields_that_make_no_sense_are_refused(kind, change, words):
    encoding = ENCODINGS[kind]
    if "classes" in change:
        change = {
            "classes": [{"name": n, "value": v, "color": [0, 0, 0]} for n, v in change["classes"]],
        }
    document = {**encoding.model_dump(mode="json"), **change}
    with pytest.raises(ValidationError, match=words):
        type(encoding).model_validate_json(json.dumps(document))


@pytest.mark.parametrize("kind", ENCODINGS)
def test_fields_survive_the_package(kind):
    encoding = ENCODINGS[kind]
    assert type(encoding).model_validate_json(encoding.model_dump_json()) == encoding

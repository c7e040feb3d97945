"""A YAML file says one thing: equal keys and words that two versions of YAML read differently are refused with their lines."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resources.compute.rayjob import TemplateError, read_template
from resources.features.configuration import configuration
from resources.features.feature_repository import FeatureStoreError
from resources.settings import PROJECT_ROOT, RAYJOB
from resources.yaml_files import YamlError, lines, read_all, read_yaml

SHIPPED = [
    PROJECT_ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.yaml", "*.yml"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    if not name.startswith("tests/")
]
ON = frozenset({("attributes", "automation")})


def with_a_second(text: str, number: int, value: str) -> tuple[str, int, int]:
    """The document with one of its keys once more, behind the first of its mapping; and the lines of both."""

    def mappings(node: Any) -> list[yaml.MappingNode]:
        if isinstance(node, yaml.MappingNode):
            return [node, *(one for _, inner in node.value for one in mappings(inner))]
        return (
            [one for item in node.value for one in mappings(item)]
            if isinstance(node, yaml.SequenceNode)
            else []
        )

    pairs = [(mapping, key) for mapping in mappings(yaml.compose(text)) for key, _ in mapping.value]
    mapping, key = pairs[number % len(pairs)]
    name = text[key.start_mark.index : key.end_mark.index]
    first, at = key.start_mark.line + 1, mapping.start_mark
    if mapping.flow_style:
        inside = text.index("{", at.index) + 1  # an anchor may stand before it
        return f"{text[:inside]}{name}: {value}, {text[inside:]}", at.line + 1, first
    inserted = f"{name}: {value}\n{' ' * at.column}"
    return text[: at.index] + inserted + text[at.index :], at.line + 1, first + 1


@given(
    file=st.sampled_from(SHIPPED),
    number=st.integers(0, 10_000),
    value=st.sampled_from(["1", "{}", "[a, b]", "x"]),
)
def test_any_key_at_any_depth_of_a_shipped_file_is_refused_when_it_is_there_twice(file, number, value):
    documents = file.read_text().split("\n---\n")
    text, *found = with_a_second(documents[number % len(documents)], number, value)
    read_all(documents[number % len(documents)], file, ON)
    with pytest.raises(YamlError) as caught:
        read_all(text, "f.yaml", ON)
    one, other = sorted(found)
    assert str(caught.value).startswith(f"f.yaml:{other}: ")
    assert f"is given twice, first in line {one}: keep one" in str(caught.value)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.relative_to(PROJECT_ROOT).as_posix())
def test_every_file_that_is_shipped_says_one_thing(file):
    read_all(file.read_text(), file, ON)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [no]", "f.yaml:1: a.0: no is false in YAML 1.1 and a text in YAML 1.2"),
        ("b: 1\na: Off", "f.yaml:2: a: Off is false in YAML 1.1 and a text in YAML 1.2"),
        ("a: {yes: 1}", "f.yaml:1: a.yes: yes is true in YAML 1.1 and a text in YAML 1.2"),
        ("a: 012", "f.yaml:1: a: 012 is 10 in YAML 1.1 and 12 in YAML 1.2"),
        ("a: 08", "f.yaml:1: a: 08 is a text in YAML 1.1 and 8 in YAML 1.2"),
        ("a: 0o17", "f.yaml:1: a: 0o17 is a text in YAML 1.1 and 15 in YAML 1.2"),
        ("a: 12:30", "f.yaml:1: a: 12:30 is 750 in YAML 1.1 and a text in YAML 1.2"),
        ("a: 1_000", "f.yaml:1: a: 1_000 is 1000 in YAML 1.1 and a text in YAML 1.2"),
        ("a: 0b11", "f.yaml:1: a: 0b11 is 3 in YAML 1.1 and a text in YAML 1.2"),
        ("a: 1:30.5", "f.yaml:1: a: 1:30.5 is 90.5 in YAML 1.1 and a text in YAML 1.2"),
        ("1: a\n'1': b", "f.yaml:2: 1 is given twice, first in line 1"),
        ("1: a\n0x1: b", "f.yaml:2: 0x1 is given twice, first in line 1"),
        ("a: &x {k: 1}\nb: {<<: *x,\n <<: *x}", "f.yaml:3: b.<< is given twice, first in line 2"),
        ("? [a]\n: 1", "f.yaml:1: a key in the document is no word or number"),
        ("a: [\nb", "f.yaml:2: not YAML that can be read"),
        ("a: 1\n---\na: 2", "f.yaml: holds 2 documents: keep one"),
    ],
)
def test_what_says_two_things_is_refused_with_file_line_and_field(text, said):
    with pytest.raises(YamlError) as caught:
        read_yaml(text, "f.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: ['no', \"012\", !!str 12:30]", {"a": ["no", "012", "12:30"]}),
        ("a: [true, 007, 0x1F, +12, 1.5, ~]", {"a": [True, 7, 31, 12, 1.5, None]}),
        ("a: 2012-12-31", {"a": "2012-12-31"}),
        (
            "a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\nc: *x",
            {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}, "c": {"k": 1, "l": 2}},
        ),
        ("", None),
    ],
)
def test_what_says_one_thing_is_read(text, value):
    assert read_yaml(text, "f.yaml") == value


@given(st.text("0123456789_.:+-eExXoObBnNyYsSfFtTrRuU", min_size=1, max_size=6))
def test_a_plain_word_is_read_as_pyyaml_reads_it_without_dates_or_refused(word):
    try:
        found = read_yaml(f"a: {word}", "f.yaml")
    except YamlError:
        return
    theirs = yaml.load(f"a: {word}", yaml.SafeLoader)
    if not isinstance(theirs, dict) or isinstance(theirs["a"], (str, int, float, bool, type(None))):
        assert found == theirs or theirs["a"] != theirs["a"]
    assert not isinstance(found.get("a"), bool) or word.lower() in ("true", "false")


def test_places_have_the_lines_of_their_keys():
    known = lines("a:\n  b: [1,\n    {c: 2}]\nd: 3\n")
    assert (known["a",], known["a", "b"], known["a", "b", 1, "c"], known["d",]) == (1, 2, 3, 4)


def test_a_rayjob_template_that_says_two_things_is_refused_where_it_is_read(tmp_path: Path):
    text = RAYJOB.read_text()
    for old, new, said in (
        ("  backoffLimit: 2\n", "  backoffLimit: 2\n  backoffLimit: 3\n", "spec.backoffLimit is given twice"),
        ('"1800"', '"half an hour"', "metadata.annotations.mlops-assets/pending-seconds is 'half an hour'"),
        ('"1800"', "1800", "pending-seconds is 1800: give seconds as a number above 0 in quotes"),
        ('"T4": {', '"T4": [', "metadata.annotations.mlops-assets/accelerators is"),
    ):
        changed = tmp_path / "rayjob.yaml"
        changed.write_text(text.replace(old, new, 1))
        line = next(
            n
            for n, one in enumerate(changed.read_text().splitlines(), 1)
            if said.split()[0].rpartition(".")[2] in one
        )
        with pytest.raises(TemplateError) as caught:
            read_template(str(changed))
        assert said in str(caught.value)
        assert f"rayjob.yaml:{line + ('twice' in said)}: " in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "cache_ttl_seconds: 0",
            "cache_ttl_seconds: 0\n  cache_ttl_seconds: 1",
            ":9: registry.cache_ttl_seconds is given twice, first in line 8",
        ),
        (
            "cache_ttl_seconds: 0",
            "cache_ttl_seconds: soon",
            ":8: registry.cache_ttl_seconds: Input should be a valid integer",
        ),
        ("engine: $", "enginee: $", ":11: offline_store.enginee: Extra inputs are not permitted"),
        ("provider: local", "provider: no", ":4: provider: no is false in YAML 1.1"),
    ],
)
def test_a_mistake_in_feasts_settings_is_told_with_file_line_and_field(tmp_path, monkeypatch, old, new, said):
    package = tmp_path / f"repo_{abs(hash(new))}"
    package.mkdir()
    (package / "__init__.py").touch()
    text = (PROJECT_ROOT / "feature_repo" / "feature_store.yaml").read_text()
    (package / "feature_store.yaml").write_text(text.replace(old, new))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FeatureStoreError) as caught:
        configuration(package.name, str(tmp_path))
    assert f"{package / 'feature_store.yaml'}{said}" in str(caught.value)

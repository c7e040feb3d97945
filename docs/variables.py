"""The README's table of variables, from the settings' own words."""

from resources.settings import Settings


def variables_table() -> str:
    """Every variable with its default and meaning, as a table in Markdown."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    own = Settings.__annotations__
    fields = sorted(Settings.model_fields.items(), key=lambda named: named[0] not in own)
    for _, field in fields:
        default = field.examples[0] if field.examples else f"`{field.default}`"
        rows.append(f"| `{field.validation_alias}` | {default} | {field.description} |")
    return "\n".join(rows)

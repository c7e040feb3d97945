"""`python -m resources.with_secrets COMMAND…`: start a process of a cluster with what AWS Secrets Manager keeps for it.

The secret that `MLOPS_SECRET` names is a JSON object of variables. A variable that is set already is left as it is. The
key of the audit log, `MLOPS_AUDIT_KEY`, goes into its own file, which its owner alone may read, and into no environment.
"""

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from resources.command_errors import in_words
from resources.state_folder import SettingsError, state_folder
from resources.storage.durable import make_folder, second_name

SECRET, KEY = "MLOPS_SECRET", "MLOPS_AUDIT_KEY"
EXAMPLE = '{"MLOPS_DAGSTER_DB": "postgresql+psycopg2://…", "MLOPS_AUDIT_KEY": "64 hexadecimal digits"}'


def secret_variables(name: str) -> dict[str, str]:
    """The variables that a secret holds; raises SettingsError, which repeats nothing of it, where it holds something else."""
    warnings.filterwarnings("ignore", "Class `SecretsManagerResource` is currently in beta")
    from dagster_aws.secretsmanager import SecretsManagerResource

    try:
        text = SecretsManagerResource().get_client().get_secret_value(SecretId=name)["SecretString"]
        variables = json.loads(text)
    except ValueError:
        variables = None
    except Exception as error:
        raise SettingsError(
            f"{SECRET}={name!r} cannot be read ({type(error).__name__}: {error}): make the secret, let this account read "
            "it, and name its region with AWS_REGION"
        ) from error
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise SettingsError(f"{SECRET}={name!r} holds no JSON object of texts: give for instance {EXAMPLE}")
    return variables


def environment(before: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process: its own, and those of the secret that it has not."""
    name = before.get(SECRET)
    if not name:
        raise SettingsError(f"{SECRET} is not set: give the name of a secret in AWS Secrets Manager")
    variables = {**secret_variables(name), **before}
    if key := variables.pop(KEY, None):
        write_key(
            Path(variables.get("MLOPS_AUDIT_KEY_FILE") or state_folder(before) / "keys" / "audit.key"), key
        )
    return variables


def write_key(file: Path, key: str) -> None:
    """The key of the audit log into its file; one that is there stays, as it may hold a newer key beside this one."""
    make_folder(file.parent)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{key}\n")
    try:
        second_name(temporary, file)
    except FileExistsError:
        temporary.unlink()


def main(command: Sequence[str]) -> int:
    """Become the command."""
    if not command:
        raise SettingsError("no command is given: python -m resources.with_secrets COMMAND…")
    os.execvpe(command[0], list(command), environment(os.environ))


if __name__ == "__main__":
    raise SystemExit(in_words(lambda: main(sys.argv[1:])))

"""How a process ended, in words."""

import pytest

from malbox_cli.supervisor.exit_status import ExitStatus


@pytest.mark.parametrize(
    ("number", "status", "text"),
    [
        (0, ExitStatus(0, None), "exited with code 0"),
        (3, ExitStatus(3, None), "exited with code 3"),
        (-9, ExitStatus(None, 9), "was killed by SIGKILL (signal 9)"),
        (-63, ExitStatus(None, 63), "was killed by signal 63"),
    ],
)
def test_a_return_code_as_python_has_it_becomes_words(number: int, status: ExitStatus, text: str) -> None:
    assert ExitStatus.of_return_code(number) == status
    assert str(status) == text
    assert status.is_success == (number == 0)

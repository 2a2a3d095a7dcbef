"""What a process holds in memory reaches no disk when it crashes."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.processes
def test_no_command_and_nothing_that_it_starts_leaves_a_core_file(tmp_path: Path) -> None:
    code = (
        "import resource, subprocess, sys\n"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        "from streams.cli.main import main\n"
        "sys.argv = ['callstream', 'topology', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "subprocess.run(['/bin/sh', '-c', 'ulimit -c'], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "0"

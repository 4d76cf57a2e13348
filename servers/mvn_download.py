"""Downloads pinned jars by mvn, with whatever mirrors and proxies the user's Maven settings name."""

import re
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from servers.errors import JarError
from servers.pins import Jar

COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

# `copy` takes the listed artifacts as they are: it resolves no dependencies, and bears two versions of one artifact.
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>lastword</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
  <build><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId>
    <configuration><outputDirectory>{directory}</outputDirectory><artifactItems>{items}</artifactItems></configuration>
  </plugin></plugins></build>
</project>
"""
ITEM = """
      <artifactItem>
        <groupId>{jar.group}</groupId><artifactId>{jar.artifact}</artifactId><version>{jar.version}</version>
        <destFileName>{jar.file_name}</destFileName>
      </artifactItem>"""


def download(jars: Sequence[Jar], directory: Path, arrived: Callable[[Jar], None]) -> None:
    """Download into ``directory`` in one run of mvn; JarError, with the end of what mvn said, when it fails."""
    awaited = {f"{jar.artifact}-{jar.version}.jar": jar for jar in jars}
    tail: deque[str] = deque(maxlen=15)
    with tempfile.NamedTemporaryFile("w", suffix=".xml", dir=directory) as pom:
        items = "".join(ITEM.format(jar=jar) for jar in jars)
        pom.write(POM.format(directory=escape(str(directory)), items=items))
        pom.flush()
        command = ["mvn", "--batch-mode", "--file", pom.name, COPY_GOAL]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as mvn:
            assert mvn.stdout is not None
            try:
                for line in mvn.stdout:
                    tail.append(line)
                    if jar := awaited.pop(_downloaded(line), None):
                        arrived(jar)
            except BaseException:
                mvn.kill()
                raise
    if mvn.returncode != 0:
        raise JarError(f"mvn could not fetch the jars (exit code {mvn.returncode}); it said:\n{''.join(tail)}")


def _downloaded(line: str) -> str:
    """The file name in Maven's "Downloaded from central: https://…/NAME (41 kB at 1.2 MB/s)"; else nothing."""
    found = re.search(r"Downloaded from \S+ \S+/(\S+)", line)
    return found[1] if found else ""

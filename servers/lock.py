"""``python -m servers.lock`` renews jars.lock: Maven resolves what each server needs, every jar it finds is pinned.

To move to another version of Kafka, ZooKeeper or Connect, change ``ROOTS``, run this, and read the difference.
"""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from lastword.process import interrupt
from servers.errors import JarError
from servers.pins import LOCK_FILE, Jar

COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

# Beside the server itself: a backend for its log, and what ZooKeeper needs although its own description leaves it to
# whoever runs it ("provided"). Connect is older than Kafka: Debezium needs a class that 4.4.0 does not have any more.
ROOTS = {
    "kafka": [
        "org.apache.kafka:kafka_2.13:4.4.0",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",
    ],
    "connect": [
        "org.apache.kafka:connect-runtime:4.3.0",
        "org.apache.kafka:connect-json:4.3.0",
        "org.apache.kafka:kafka-clients:4.3.0",
        "io.debezium:debezium-connector-postgres:3.6.1.Final",
        "org.slf4j:slf4j-simple:1.7.36",
    ],
    # By itself: no later version of this connector is to be had, and one class path does not bear two of Debezium's.
    "connect-mariadb": [
        "org.apache.kafka:connect-runtime:4.3.0",
        "org.apache.kafka:connect-json:4.3.0",
        "org.apache.kafka:kafka-clients:4.3.0",
        "io.debezium:debezium-connector-mariadb:3.5.0.Final",
        "org.slf4j:slf4j-simple:1.7.36",
    ],
    # No test has their databases: by these jars Connect looks at the connectors' files.
    "connect-others": [
        "org.apache.kafka:connect-runtime:4.3.0",
        "org.apache.kafka:connect-json:4.3.0",
        "org.apache.kafka:kafka-clients:4.3.0",
        "io.debezium:debezium-connector-mysql:3.6.1.Final",
        "io.debezium:debezium-connector-sqlserver:3.6.1.Final",
        "io.debezium:debezium-connector-oracle:3.6.1.Final",
        "org.slf4j:slf4j-simple:1.7.36",
    ],
    "zookeeper": [
        "org.apache.zookeeper:zookeeper:3.9.5",
        "io.dropwizard.metrics:metrics-core:4.1.12.1",
        "org.xerial.snappy:snappy-java:1.1.10.7",
        "org.slf4j:slf4j-simple:2.0.13",
    ],
}

# What Debezium's connector for Oracle names and is not all to be had: other buffers than the heap, and XML columns.
LEFT_OUT = ("com.oracle.database.xml", "org.ehcache", "org.infinispan")

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>lastword</groupId><artifactId>roots</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
DEPENDENCY = """
    <dependency>
      <groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version><scope>runtime</scope>
      <exclusions>{3}</exclusions>
    </dependency>"""
EXCLUSION = "<exclusion><groupId>{0}</groupId><artifactId>*</artifactId></exclusion>"
HEADER = """\
# Every jar of the servers: its Maven coordinates, its SHA-256, its size in bytes, who needs it.
# Written by `python -m servers.lock`, which resolves them from the few that it names; not edited by hand.
"""
ENTRY = """
[[jar]]
group = "{jar.group}"
artifact = "{jar.artifact}"
version = "{jar.version}"
sha256 = "{jar.sha256}"
size = {jar.size}
servers = [{servers}]
"""


def main() -> None:
    """Resolve all roots and write jars.lock."""
    needed_by: dict[Path, tuple[str, ...]] = {}
    with tempfile.TemporaryDirectory() as directory:
        repository = Path(directory) / "jars"
        for server, roots in ROOTS.items():
            for path in _resolve(roots, repository / server):
                relative = path.relative_to(repository / server)
                needed_by[relative] = (*needed_by.get(relative, ()), server)
        jars = [_jar(repository, relative, servers) for relative, servers in needed_by.items()]
    jars.sort(key=lambda jar: (jar.group, jar.artifact, jar.version))
    entries = (ENTRY.format(jar=jar, servers=", ".join(f'"{server}"' for server in jar.servers)) for jar in jars)
    LOCK_FILE.write_text(HEADER + "".join(entries), encoding="utf-8")


def _resolve(roots: list[str], directory: Path) -> list[Path]:
    """All jars of the roots and of what they need at run time, in Maven's repository layout below ``directory``."""
    directory.mkdir(parents=True)
    pom = directory / "pom.xml"
    left_out = "".join(map(EXCLUSION.format, LEFT_OUT))
    dependencies = "".join(DEPENDENCY.format(*root.split(":"), left_out) for root in roots)
    pom.write_text(POM.format(dependencies=dependencies), "utf-8")
    options = ["-DincludeScope=runtime", "-Dmdep.useRepositoryLayout=true", f"-DoutputDirectory={directory}"]
    mvn = subprocess.run(["mvn", "--batch-mode", "--file", pom, COPY_GOAL, *options], check=False)
    if mvn.returncode != 0:
        raise JarError(f"mvn could not resolve {', '.join(roots)}")
    return [path for path in directory.rglob("*.jar") if not _is_native(path)]


def _is_native(path: Path) -> bool:
    """Whether the jar has a classifier: only netty's machine code has one, for TLS and epoll, which we do not use."""
    version, artifact = path.parent.name, path.parent.parent.name
    return path.name != f"{artifact}-{version}.jar"


def _jar(repository: Path, relative: Path, servers: tuple[str, ...]) -> Jar:
    content = (repository / servers[0] / relative).read_bytes()
    *group, artifact, version, _ = relative.parts
    return Jar(".".join(group), artifact, version, hashlib.sha256(content).hexdigest(), len(content), servers)


if __name__ == "__main__":
    interrupt.run(main)

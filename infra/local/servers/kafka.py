"""Kafka: one KRaft node, broker and controller in one process.

Its second listener wants TLS and a password, so that clients' settings for both can be tried. Both
are made on the first start, in its own folder: `ca.pem` and `password`.
"""

from __future__ import annotations

import base64
import secrets
import socket
import struct
import uuid
from pathlib import Path

from infra.local.servers import asking, installing
from infra.local.servers.server import HOST, Launch, Place, Ports, Server, write

VERSION = "4.1.2"
USER = "penstock"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{broker},SECURE://{host}:{secure},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker},SECURE://{host}:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
listener.name.secure.ssl.keystore.type=PKCS12
listener.name.secure.ssl.keystore.location={keystore}
listener.name.secure.ssl.keystore.password={password}
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config={login} required user_{user}="{password}";
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.partitions=4
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.threads=1
"""

_LOGGING = """\
<Configuration status="WARN">
  <Appenders>
    <Console name="out"><PatternLayout pattern="[%d] %p %m (%c{1})%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
  </Loggers>
</Configuration>
"""


def install() -> Path:
    """Get the broker's jars (43 MB)."""
    return installing.jars(
        f"kafka-{VERSION}",
        [
            f"org.apache.kafka:kafka_2.13:{VERSION}",
            "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
        ],
    )


def launch(place: Place) -> Launch:
    """Format the log folder if it is new, and start the node on it."""
    data = place.folder / "data"
    place.folder.chmod(0o700)
    properties = write(
        place.folder,
        "server.properties",
        _PROPERTIES.format(
            host=HOST,
            data=data,
            login="org.apache.kafka.common.security.plain.PlainLoginModule",
            user=USER,
            password=_password(place.folder),
            keystore=_keystore(place.folder),
            **place.ports,
        ),
    )
    logging = write(place.folder, "log4j2.xml", _LOGGING)
    base = [
        installing.java(),
        "-XX:+UseSerialGC",
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        f"{place.tools}/lib/*",
    ]
    if not (data / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
        installing.run([*base, "-XX:TieredStopAtLevel=1", *tool], place.folder)
    return Launch((*base, "-Xms256m", "-Xmx512m", "kafka.Kafka", str(properties)))


def secure_client(folder: Path, ports: Ports) -> dict[str, str]:
    """Return librdkafka's settings for the listener that wants TLS and a password."""
    return {
        "bootstrap.servers": f"{HOST}:{ports['secure']}",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": _password(folder),
        "ssl.ca.location": str(folder / "ca.pem"),
    }


def answers(place: Place) -> bool:
    """Ask for the metadata of no topic: a broker that can be used names itself in the answer."""
    with socket.create_connection((HOST, place.ports["broker"]), timeout=asking.SECONDS) as s:
        s.sendall(_framed(struct.pack(">hhihi", 3, 1, 7, -1, 0)))
        (size,) = struct.unpack(">i", asking.exactly(s, 4))
        correlation, brokers = struct.unpack(">ii", asking.exactly(s, size)[:8])
    return correlation == 7 and brokers == 1


def _password(folder: Path) -> str:
    path = folder / "password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()


def _keystore(folder: Path) -> Path:
    store = folder / "keystore.p12"
    if not store.exists():
        keytool = installing.tool("keytool")
        common = ["-alias", "kafka", "-keystore", "new.p12", "-storepass:file", "password"]
        key = ["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"]
        name = ["-dname", "CN=localhost", "-ext", f"SAN=ip:{HOST},dns:localhost"]
        installing.run([keytool, "-genkeypair", *key, *name, *common], folder)
        installing.run([keytool, "-exportcert", "-rfc", "-file", "ca.pem", *common], folder)
        (folder / "new.p12").rename(store)
    return store


def _framed(request: bytes) -> bytes:
    return struct.pack(">i", len(request)) + request


SERVERS = (
    Server(
        name="kafka",
        version=VERSION,
        ports={"broker": 9092, "controller": 9093, "secure": 9094},
        install=install,
        launch=launch,
        answers=answers,
    ),
)

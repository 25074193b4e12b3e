"""An S3 server on the loopback interface: ``minio`` where PATH has one, else S3Proxy in front of a folder."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfsproxy.devstack.certs import PKCS12_PASSWORD, Certificate, self_signed
from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.jars import Progress
from lfsproxy.devstack.ports import HOST
from lfsproxy.devstack.prepare import java_command
from lfsproxy.devstack.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

S3PROXY_SET = "s3proxy-4.1"
REGION = "us-east-1"
LOCAL_KEY = "minioadmin"
VIRTUAL_HOST = "localhost"
"""``http://bucket.localhost:port/key`` works beside ``http://localhost:port/bucket/key``."""

_LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""


def find_minio(environ: Mapping[str, str] | None = None) -> str | None:
    """The ``minio`` executable on PATH, if there is one."""
    env = os.environ if environ is None else environ
    return shutil.which("minio", path=env.get("PATH", os.defpath))


class S3Server(Server):
    """One S3 server. Parameters and life cycle as KafkaServer's; ``https`` serves TLS, self-signed.

    ``minio`` is the executable to use, "" for S3Proxy whatever PATH has; by default PATH decides.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        port: int = 0,
        https: bool = False,
        access_key: str = LOCAL_KEY,
        secret_key: str = LOCAL_KEY,
        minio: str | None = None,
        heap: str = "256m",
        jvm_options: Sequence[str] = (),
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._minio = find_minio() if minio is None else minio
        super().__init__("s3", self.kind, data_dir, port)
        self.access_key = access_key
        self.secret_key = secret_key
        self.region = REGION
        self.https = https
        self.certificate: Certificate | None = None
        """What to trust, with ``https``, once started."""
        self._heap = heap
        self._jvm_options = list(jvm_options)
        self._cache = cache
        self._progress = progress

    @property
    def kind(self) -> str:
        """``MinIO`` or ``S3Proxy``."""
        return "MinIO" if self._minio else "S3Proxy"

    @property
    def endpoint(self) -> str:
        """The URL for requests of either style, such as ``http://localhost:9000``.

        With its address in place of ``localhost``, S3Proxy would take ``127.0.0.1`` for a bucket's name.
        """
        return f"{'https' if self.https else 'http'}://{VIRTUAL_HOST}:{self.port}"

    @property
    def notice(self) -> str | None:
        """What a user should know of this server's limits, if anything; asked after ``start``."""
        if self._minio or has_extended_attributes(self.data_dir):
            return None
        return (
            f"The file system of {self.data_dir} has no extended attributes, so S3Proxy runs with its plain "
            "filesystem backend: objects keep their bytes, but lose their content type and user metadata."
        )

    def command(self) -> tuple[Sequence[str], Mapping[str, str] | None]:
        objects = self.data_dir / "objects"
        try:
            objects.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DevstackError(
                f"The S3 server's data folder {self.data_dir} cannot be written: {error.strerror}."
            ) from error
        if self.https and self.certificate is None:
            self.certificate = self_signed(self.data_dir / "certs")
        env = dict(os.environ)
        if self._minio:
            return self._minio_command(self._minio, objects, env), env
        return self._s3proxy_command(objects), env

    def _minio_command(self, minio: str, objects: Path, env: dict[str, str]) -> list[str]:
        env.update(
            MINIO_ROOT_USER=self.access_key,
            MINIO_ROOT_PASSWORD=self.secret_key,
            MINIO_DOMAIN=VIRTUAL_HOST,
            MINIO_REGION=REGION,
            MINIO_BROWSER="off",
            MINIO_UPDATE="off",
        )
        certs = ["--certs-dir", str(self.data_dir / "certs")] if self.https else []
        return [minio, "server", "--quiet", "--address", f"{HOST}:{self.port}", *certs, str(objects)]

    def _s3proxy_command(self, objects: Path) -> list[str]:
        java = java_command(S3PROXY_SET, self._cache, self._progress)
        settings = {
            "s3proxy.authorization": "aws-v2-or-v4",
            "s3proxy.identity": self.access_key,
            "s3proxy.credential": self.secret_key,
            "s3proxy.virtual-host": VIRTUAL_HOST,
            "jclouds.provider": "filesystem-nio2" if has_extended_attributes(objects) else "filesystem",
            "jclouds.filesystem.basedir": str(objects),
        }
        if self.https:
            assert self.certificate is not None
            settings["s3proxy.secure-endpoint"] = f"https://{HOST}:{self.port}"
            settings["s3proxy.keystore-path"] = str(self.certificate.pkcs12)
            settings["s3proxy.keystore-password"] = PKCS12_PASSWORD
        else:
            settings["s3proxy.endpoint"] = f"http://{HOST}:{self.port}"
        properties = self.data_dir / "s3proxy.properties"
        properties.touch(mode=0o600)
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        logback = self.data_dir / "logback.xml"
        logback.write_text(_LOGBACK)
        options = [f"-Xmx{self._heap}", f"-Dlogback.configurationFile={logback}", *self._jvm_options]
        return [*java, *options, "org.gaul.s3proxy.Main", "--properties", str(properties)]

    def answers(self) -> bool:
        """An unsigned request is refused, in HTTP: that is an answer."""
        context = (
            ssl.create_default_context(cafile=str(self.certificate.certificate)) if self.certificate else None
        )
        opener = urllib.request.build_opener(
            # No proxy of the environment stands between us and our own loopback.
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
        )
        try:
            opener.open(self.endpoint, timeout=1).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return answer.code < 500
        except OSError:
            return False
        return True

    def client(self) -> Any:
        """A new botocore client for it, path style."""
        # Imported here: botocore takes half a second, and a start needs none of it.
        import botocore.config
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=str(self.certificate.certificate) if self.certificate else None,
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, retries={"max_attempts": 2}, proxies={}
            ),
        )

    def create_bucket(self, name: str) -> None:
        """Create a bucket; does nothing when it is there already."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        try:
            # Asked first: S3Proxy answers NoSuchBucket to the creation of a bucket that exists.
            if not any(bucket["Name"] == name for bucket in client.list_buckets()["Buckets"]):
                client.create_bucket(Bucket=name)
        except (BotoCoreError, ClientError) as error:
            raise DevstackError(
                f"The bucket {name} could not be created on {self.endpoint}: {error}"
            ) from error
        finally:
            client.close()


def has_extended_attributes(folder: Path) -> bool:
    """Whether files in ``folder`` can have extended attributes, where S3Proxy keeps an object's metadata."""
    if not hasattr(os, "setxattr"):
        # Python has the calls on Linux only; the file systems of macOS and the BSDs have the attributes.
        return True
    with tempfile.NamedTemporaryFile(dir=folder) as probe:
        try:
            os.setxattr(probe.name, "user.lfsproxy-probe", b"1")
        except OSError:
            return False
    return True

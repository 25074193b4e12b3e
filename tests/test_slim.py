"""What the proxy's process loads of its libraries, each case in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

NEVER = frozenset(
    {
        "boto3",
        "botocore.client",
        "botocore.session",
        "click",
        "jsonschema",
        "kafka.admin",
        "kafka.consumer",
        "kafka.net.connection",
        "kafka.producer",
        "lfsproxy.cli",
        "lfsproxy.client",
        "lfsproxy.devstack",
        "lfsproxy.testing",
        "opentelemetry",
        "requests",
        "rich",
        "swagger_ui",
        "werkzeug.serving",
        "werkzeug.test",
    }
)
"""Large modules, or the first ones of large packages, that no setting of the proxy asks for by default."""
TLS = frozenset(
    {"OpenSSL.SSL", "cryptography", "service_identity", "lfsproxy.net.tls", "twisted.protocols.tls"}
)
HTTP = {"LFS_S3_ENDPOINT": "http://127.0.0.1:1"}

STARTED = """
import sys
from lfsproxy.tap import Options, makeService
options = Options()
options.parseOptions([])
makeService(options)
print(*sys.modules)
"""
SLIM = "from lfsproxy.slim import slim_imports\n"


def run(program: str, **environment: str) -> str:
    """What a Python program prints; of the variables of the tests' own, none that is a setting is given."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def started(settings: Mapping[str, str]) -> set[str]:
    """The modules that are loaded when the service is made."""
    return set(run(STARTED, **settings).split())


class LoadedTests(SynchronousTestCase):
    def test_by_default_there_is_tls_and_nothing_that_is_not_used(self) -> None:
        loaded = started({})
        self.assertEqual(loaded & NEVER, set())
        self.assertEqual(TLS - loaded, set())

    def test_without_tls_in_the_settings_none_is_loaded(self) -> None:
        self.assertEqual(started(HTTP) & (NEVER | TLS), set())

    def test_every_setting_that_needs_tls_loads_it(self) -> None:
        for settings in (
            {"LFS_S3_ENDPOINT": "HTTPS://127.0.0.1:1"},
            {**HTTP, "LFS_KAFKA_SECURITY_PROTOCOL": "SSL"},
            {**HTTP, "LFS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
        ):
            self.assertEqual(TLS - started(settings), set(), settings)

    def test_the_parent_of_workers_loads_no_tls(self) -> None:
        self.assertEqual(started({"LFS_WORKERS": "2"}) & TLS, set())


class BareTests(SynchronousTestCase):
    def test_a_module_does_not_run_its_package(self) -> None:
        said = run(
            SLIM + "with slim_imports(tls=True):\n"
            "    import kafka.protocol.consumer, kafka.net.sasl, kafka, sys\n"
            "from kafka import errors\n"
            "print('kafka.admin' in sys.modules, kafka.net.sasl.__name__, errors.__name__)"
        )
        self.assertEqual(said, "False kafka.net.sasl kafka.errors\n")

    def test_what_its_modules_log_does_not_go_to_stderr(self) -> None:
        said = run(
            SLIM + "import logging\nwith slim_imports(tls=True):\n    import kafka.net.sasl\n"
            "print(logging.getLogger('kafka.net.sasl').hasHandlers())"
        )
        self.assertEqual(said, "True\n")

    def test_whoever_asks_later_for_the_whole_package_has_it(self) -> None:
        said = run(
            SLIM + "with slim_imports(tls=True):\n    import kafka.protocol.consumer\n"
            "first = kafka\n"
            "from kafka import KafkaProducer\n"
            "import kafka\n"
            "print(kafka is first, KafkaProducer.__name__, sorted(kafka.__all__)[0], kafka.net.__all__[0])"
        )
        self.assertEqual(said, "True KafkaProducer AsyncConsumerRebalanceListener KafkaConnection\n")

    def test_what_a_package_does_not_have_is_missing(self) -> None:
        said = run(
            SLIM + "with slim_imports(tls=True):\n    import kafka.errors\n"
            "print(hasattr(kafka, 'nothing'), hasattr(kafka, '__nothing__'))"
        )
        self.assertEqual(said, "False False\n")

    def test_a_package_that_is_loaded_already_stays_whole(self) -> None:
        said = run(
            "import kafka, OpenSSL\n" + SLIM + "with slim_imports(tls=False):\n"
            "    import OpenSSL.SSL\nprint(type(kafka).__name__)"
        )
        self.assertEqual(said, "module\n")


class WithoutTlsTests(SynchronousTestCase):
    def test_twisted_s_reactor_works_and_tls_can_be_loaded_afterwards(self) -> None:
        said = run(
            SLIM + "import sys\nwith slim_imports(tls=False):\n"
            "    from twisted.internet import reactor\n"
            "reactor.callWhenRunning(reactor.stop)\nreactor.run()\n"
            "print('OpenSSL' in sys.modules)\n"
            "from twisted.internet.ssl import CertificateOptions\nprint(CertificateOptions.__name__)"
        )
        self.assertEqual(said, "False\nOpenSSLCertificateOptions\n")

    def test_it_is_given_back_when_the_imports_fail(self) -> None:
        said = run(
            SLIM + "try:\n    with slim_imports(tls=False):\n        import OpenSSL\n"
            "except ModuleNotFoundError as error:\n    print(error.name)\n"
            "import OpenSSL\nprint(OpenSSL.__name__)"
        )
        self.assertEqual(said, "OpenSSL\nOpenSSL\n")

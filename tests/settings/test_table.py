"""The table of settings: names and defaults that users rely on, and what each setting takes."""

from __future__ import annotations

import re

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.settings import (
    Settings,
    check_no_loop,
    flag,
    load_settings,
    setting_table,
    variable,
)
from lfsproxy.settings.hosts import TOKEN_URL, URL
from lfsproxy.settings.kinds import TEXT
from tests.settings.values import COMPANIONS, EXAMPLES, NASTY, SPECIFIED, TAKEN
from tests.source import constants

COMMON = {"PLAINTEXT", "crc32c", "default", "error", "false", "relay", "sha256", "2147483647"}
"""Defaults whose texts mean other things too; those of up to four characters do in any case."""


def example(name: str) -> str:
    """A text for a setting that is not its default: one of EXAMPLES, or else one of its kind's."""
    if name in EXAMPLES:
        return EXAMPLES[name][0]
    info = setting_table()[name]
    return next(text for text in info.parse.examples if info.parse(text) != info.parse(info.default))


class TableTests(SynchronousTestCase):
    def test_the_specified_variables_have_exactly_their_defaults(self) -> None:
        table = {variable(name): info.default for name, info in setting_table().items()}
        self.assertEqual({name: table[name] for name in SPECIFIED}, SPECIFIED)

    def test_nothing_given_is_the_defaults(self) -> None:
        loaded = load_settings({}, {})
        self.assertEqual(loaded.settings, Settings())
        self.assertEqual(loaded.origins, {})

    def test_each_default_is_what_its_text_says(self) -> None:
        for name, info in setting_table().items():
            self.assertEqual(getattr(Settings(), name), info.parse(info.default), name)

    def test_each_setting_is_read_from_its_variable_and_its_flag(self) -> None:
        for name, info in setting_table().items():
            text = example(name)
            others = COMPANIONS.get(name, {})
            given = {**others, name: text}
            by_variable = load_settings({variable(each): value for each, value in given.items()}, {}).settings
            by_flag = load_settings({}, given).settings
            value = info.parse(text)
            self.assertEqual(getattr(by_variable, name), value, name)
            self.assertNotEqual(getattr(Settings(), name), value, name)
            self.assertEqual(by_variable, by_flag, name)
            self.assertEqual(by_variable, attrs.evolve(Settings(), **{**others, name: value}), name)

    def test_each_setting_about_tls_needs_it(self) -> None:
        plain = {"s3_endpoint": "http://127.0.0.1:1"}
        self.assertFalse(load_settings({}, plain).settings.needs_tls)
        for name, info in setting_table().items():
            is_url = info.parse in (URL, TOKEN_URL)
            if "tls" in name or name.endswith("_ca") or is_url:
                text = "https://127.0.0.1:1" if is_url else example(name)
                given = {**plain, **COMPANIONS.get(name, {}), name: text}
                self.assertTrue(load_settings({}, given).settings.needs_tls, name)

    def test_texts_mean_what_they_say(self) -> None:
        for name, (text, value) in EXAMPLES.items():
            self.assertEqual(setting_table()[name].parse(text), value, name)

    def test_a_kind_takes_its_examples(self) -> None:
        for name, info in setting_table().items():
            values = {repr(info.parse(text)) for text in info.parse.examples}
            self.assertGreater(len(values), 1, name)

    def test_a_setting_without_its_companions_names_them(self) -> None:
        for given in (
            {"kafka_sasl_mechanism": "PLAIN"},
            {"kafka_tls_cert": "c"},
            {"kafka_listener_tls_key": "k"},
            {"kafka_listener_tls_client_ca": "ca"},
            {"kafka_sasl_password": "a", "kafka_sasl_password_file": "b"},
            {"kafka_security_protocol": "SASL_SSL", "kafka_client_identity": "proxy"},
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
            {
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_sasl_username": "u",
            },
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"},
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "AWS_MSK_IAM"},
            {"kafka_oauth_token_url": "https://a"},
            {"kafka_oauth_extensions": "a=b"},
            {"kafka_oauth_client_id": "c"},
            {"kafka_oauth_scope": "s"},
            {**COMPANIONS["kafka_oauth_ca"], "kafka_oauth_client_id": ""},
            {**COMPANIONS["kafka_oauth_ca"], "kafka_oauth_client_secret": ""},
            {**COMPANIONS["kafka_oauth_ca"], "kafka_oauth_client_secret_file": "f"},
            {**COMPANIONS["kafka_oauth_ca"], "kafka_sasl_password": "p"},
            {**COMPANIONS["kafka_oauth_ca"], "kafka_oauth_token_url": "http://a", "kafka_oauth_ca": "ca"},
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_tls_ca": "ca"},
            {"kafka_tls_cert": "c", "kafka_tls_key": "k"},
            {"http_tls_cert": "c"},
            {"http_tls_client_ca": "ca"},
            {"metrics_tls": "true"},
        ):
            with self.assertRaisesRegex(SettingError, "LFS_(KAFKA|HTTP)_"):
                load_settings({}, given)

    def test_the_proxy_is_no_broker_of_its_own(self) -> None:
        for own, broker, is_loop in (
            (":9092", "localhost:9092", True),
            ("0.0.0.0:9092", "127.0.0.1:9092", True),
            ("proxy.example:9092", "kafka:1,proxy.example:9092", True),
            (":9092", "kafka:9092", False),
            (":9092", "localhost:9093", False),
            ("10.0.0.1:9092", "localhost:9092", False),
        ):
            environment = {"LFS_KAFKA_ADDR": own, "LFS_KAFKA_BROKERS": broker}
            # gc and fsck listen nowhere.
            settings = load_settings(environment, {}).settings
            if not is_loop:
                check_no_loop(settings)
                continue
            with self.assertRaisesRegex(SettingError, "the proxy itself listens there"):
                check_no_loop(settings)

    def test_each_setting_has_a_help_sentence(self) -> None:
        for name, info in setting_table().items():
            self.assertRegex(info.help, r"^[A-Z].+[.)]$", name)

    def test_no_other_module_repeats_a_default(self) -> None:
        telling = {info.default for info in setting_table().values() if len(info.default) > 4} - COMMON
        telling |= {text.rpartition(":")[2] for text in telling if ":" in text}
        spelled = {(module, str(value)) for module, value in constants() if str(value) in telling}
        ours = {(module, text) for module, text in spelled if not module.startswith(("client/", "devstack/"))}
        # The two that the readers of blobs share are the table's own, in a room below it.
        self.assertEqual({module for module, _ in ours}, {"defaults.py", "settings/table.py"}, ours)

    def test_names(self) -> None:
        self.assertEqual((variable("s3_bucket"), flag("s3_bucket")), ("LFS_S3_BUCKET", "s3-bucket"))

    def test_each_setting_takes_only_what_makes_sense_for_it(self) -> None:
        for name, info in setting_table().items():
            if info.parse.is_file or info.secret:
                continue
            refused = set()
            for text in NASTY:
                try:
                    info.parse(text)
                except ValueError as error:
                    refused.add(text)
                    self.assertRegex(str(error), r"\A[ -~]+ (is|are) needed[ -~]*\Z", (name, text))
            if info.parse is TEXT:
                self.assertEqual(refused, {text for text in NASTY if re.search("[\x00-\x1f]", text)})
            else:
                self.assertEqual(set(NASTY) - refused, TAKEN.get(name, set()), name)

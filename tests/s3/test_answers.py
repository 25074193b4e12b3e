"""Reading what S3 answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.s3.answers import UnreadableAnswer, children, parse_xml, read_answer, text_of

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class AnswerTests(SynchronousTestCase):
    def test_an_errors_code_and_message_are_read_in_any_namespace(self) -> None:
        for namespace in ("", f' xmlns="{NAMESPACE}"'):
            body = f"<Error{namespace}><Code>SlowDown</Code><Message>Less, please</Message></Error>"
            answer = read_answer(503, {}, body.encode())
            self.assertEqual(("SlowDown", "Less, please"), (answer.code, answer.message))
            self.assertEqual("S3 answered 503 SlowDown: Less, please", str(answer))

    def test_a_success_that_holds_an_error_is_one(self) -> None:
        body = b'  \n<?xml version="1.0"?>\n<Error><Code>InternalError</Code></Error>'
        answer = read_answer(200, {}, body.strip())
        self.assertTrue(answer.is_error)
        self.assertTrue(answer.is_retriable)
        self.assertTrue(answer.is_doubtful)

    def test_whitespace_sent_to_keep_the_connection_is_skipped(self) -> None:
        answer = read_answer(200, {}, b"   \n  <Error><Code>InternalError</Code></Error>")
        self.assertEqual("InternalError", answer.code)

    def test_an_error_behind_much_whitespace_is_seen(self) -> None:
        for start in (b"", b'<?xml version="1.0"?>', b'  <?xml version="1.0"?>'):
            answer = read_answer(
                200, {}, start + b" \n" * 10_000 + b"<Error><Code>InternalError</Code></Error>"
            )
            self.assertEqual("InternalError", answer.code)

    def test_a_success_is_none(self) -> None:
        self.assertFalse(read_answer(200, {}, b"<Result><Key>Error</Key></Result>").is_error)
        self.assertFalse(read_answer(204, {}, b"").is_error)

    def test_an_error_in_other_words_keeps_its_status(self) -> None:
        answer = read_answer(502, {}, b"<html><h1>Bad gateway</h1>")
        self.assertEqual(("", True, True), (answer.code, answer.is_error, answer.is_retriable))
        self.assertEqual("S3 answered 502", str(answer))

    def test_the_region_of_the_bucket_is_told_where_s3_tells_it(self) -> None:
        answer = read_answer(301, {"x-amz-bucket-region": "eu-west-1"}, b"")
        self.assertEqual(answer.region, "eu-west-1")
        body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-2</Region></Error>"
        self.assertEqual(read_answer(400, {}, body).region, "eu-west-2")

    def test_document_types_are_not_read(self) -> None:
        for body in (
            b'<!DOCTYPE a [<!ENTITY x "y">]><Error><Code>&x;</Code></Error>',
            b"\xff\xfe<\x00a\x00/\x00>\x00",
            b"<Error>",
            b"",
        ):
            with self.assertRaises(UnreadableAnswer):
                parse_xml(body)
        self.assertEqual("", read_answer(500, {}, b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Error/>').code)

    def test_children_and_texts_are_found_by_name(self) -> None:
        root = parse_xml(f'<a xmlns="{NAMESPACE}"><b> 1 </b><b>2</b><c/></a>'.encode())
        self.assertEqual(2, len(list(children(root, "b"))))
        self.assertEqual(("1", "", ""), (text_of(root, "b"), text_of(root, "c"), text_of(root, "d")))

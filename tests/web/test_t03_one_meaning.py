"""T3: a form that names a field twice is refused, whatever the field: two readers could take different ones."""

from urllib.parse import urlencode

import pytest
from web.attack import a_form, asked, program, sealed_on, standing
from web.rig import Place

from mcp_hitl.domain.policy.forms import define
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.web import fields

FORM = define(
    {
        "properties": {
            "center": {"type": "string"},
            "some": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        }
    }
)


@pytest.mark.anyio
async def test_t03_a_field_of_a_posted_form_occurs_once(place: Place) -> None:
    approval = await asked(place)
    one = f"/approvals/{approval.id}"
    async with program(place) as http:
        session = place.headers(await place.signed_in())
        sealed = await sealed_on(http, session, approval)
        before = await standing(place)
        item = f"{approval.id} {approval.revision} {approval.digest} {sealed}"
        forms = {
            f"{one}/decide": a_form(approval, sealed),
            f"{one}/cancel": {"comment": "x"},
            f"{one}/reconcile": {"succeeded": "yes"},
            f"{one}/edit": {"shown": sealed, "payload": "{}", "comment": "x", "step": "save", "wanted": "x"},
            "/batch": {"verdict": "approve", "comment": "", "item": item},
            "/sign-in": {"code": "x", "next": "/"},
        }
        for path, form in forms.items():
            for name in form.keys() - {"item"}:
                body = urlencode([*form.items(), (name, "another")])
                kind = {"content-type": "application/x-www-form-urlencoded"}
                answer = await http.post(path, content=body, headers=session | kind)
                assert answer.status_code == 422, (path, name, answer.text)
                assert answer.json()["message"] == "A field of this form occurs twice. Send each of them once."
    assert await standing(place) == before


def test_t03_an_answer_occurs_once_unless_it_is_a_list() -> None:
    assert fields.answers(FORM, [("answer.some", "a"), ("answer.some", "b")]) == {"some": ["a", "b"]}
    with pytest.raises(Invalid, match="once"):
        fields.answers(FORM, [("answer.center", "7"), ("answer.center", "8")])


def test_t03_a_field_of_a_payload_is_edited_as_text_or_as_json() -> None:
    with pytest.raises(Invalid, match="once"):
        fields.edited({"amount": "5"}, [("text.amount", "5"), ("json.amount", "5000000")])

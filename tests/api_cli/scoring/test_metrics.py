"""Each rule and trap of the published metrics, by vectors worked out by hand."""

from __future__ import annotations

import pytest

from api_cli.runs.columns import Columns, plain_row
from api_cli.scoring.metrics import METRICS, UnscorableError
from api_cli.scoring.metrics.letter import parse as parse_letter
from api_cli.scoring.metrics.mme import parse as parse_mme
from api_cli.scoring.metrics.mmmu import parse_choice, parse_open
from api_cli.scoring.metrics.verdict import right_answers
from api_cli.scoring.metrics.vqa import normalise


def score(metric, row, answer):
    return METRICS[metric].rule(row, answer)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("Stop, Sign?", "stop sign"),  # commas and question marks go first of all
        ("The brand's name", "brand 's name"),  # "'s" becomes a word
        ("two\nlines\tand tab", "2 lines and tab"),
        (" None ", "0"),
        ("zero to ten", "0 to 10"),
        ("Ten of a hundred", "10 of hundred"),  # a, an and the go
        ("an", ""),
        ("isnt it", "isn't it"),
        ("hadnt've hadn'tve", "hadn't've hadn't've"),
        ("somebody'd", "somebodyd"),  # the published table has this one the wrong way round
        ("im", "im"),  # its entry is "Im", which never matches lower case
        ("black-white", "black white"),  # no blank beside it: a blank in its place
        ("black - white", "black white"),  # a blank beside it: it goes
        ("a-b -c", "ab c"),  # and then it goes everywhere
        ("50% (sale)", "50% sale"),  # no blank on the inside, but one before: each mark for itself
        ("semi;colon", "semi colon"),
        ('"quoted"', "quoted"),
        ("x@y", "x y"),
        ("1,000", "1000"),  # commas are gone before the rule on numbers is asked
        ("3.5", "3.5"),
        ("3. 5", "3 5"),
        ("www.web.de", "wwwwebde"),
        ("a.5", "a.5"),  # the mistyped lookbehind: what follows a point decides
        ("5.a", "5a"),
        ("." * 40 + "x", "." * 8 + "x"),  # re.UNICODE is 32, and is handed over as the count
        ("!", ""),
        ("ÉCOLE", "école"),
    ],
)
def test_vqa_normalisation_has_the_published_quirks(text, normalised):
    assert normalise(text) == normalised


@pytest.mark.parametrize(("matches", "points"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1)])
def test_vqa_accuracy_leaves_each_of_ten_people_out(matches, points):
    row = {"answers": ["Night time."] * matches + ["other"] * (10 - matches)}
    assert score("vqa", row, "night time").score == pytest.approx(points, abs=1e-12)
    assert score("vqa", {"answers": ["x"] * 10}, "x").score == 1


def test_vqa_accuracy_takes_vizwiz_objects_and_refuses_other_numbers_of_people():
    people = [{"answer": "unanswerable", "answer_confidence": "yes"}] * 3 + [{"answer": "2"}] * 7
    assert score("vqa", {"answers": people}, "Unanswerable").score == pytest.approx(0.9)
    assert score("vqa", {"answers": people}, "two").score == 1
    with pytest.raises(UnscorableError, match="needs 10 people's answers, got 3"):
        score("vqa", {"answers": ["a", "b", "c"]}, "a")
    with pytest.raises(UnscorableError, match="no 'answer'"):
        score("vqa", {"question": "?"}, "a")
    assert score("vqa", {"answers": people}, "the").unparsed


@pytest.mark.parametrize(
    ("answer", "parsed"),
    [
        ("Yes", "yes"),
        ("no", "no"),
        ("Yes, it is.", "yes"),
        ("No, it is not.", "no"),
        (" yes", "yes"),
        ("nope", "no"),  # the first four characters have "no"
        ("None", "no"),
        ("I know: yes", "other"),  # and these have neither
        ("The answer is yes", "other"),
        ("", "other"),
        ("yno", "no"),
    ],
)
def test_mme_looks_at_the_first_four_characters(answer, parsed):
    assert parse_mme(answer) == parsed
    verdict = score("mme", {"answer": "Yes"}, answer)
    assert verdict == (float(parsed == "yes"), parsed, parsed == "other")


@pytest.mark.parametrize(
    ("answer", "parsed", "unparsed"),
    [
        ("no", "no", False),
        ("No, there is none", "no", False),
        ("There is not", "no", False),
        ("NO", "yes", True),  # neither "No" nor "no"
        ("nothing", "yes", True),  # whole words only
        ("Yes. No doubt", "yes", False),  # the first sentence alone
        ("Yes, no, maybe", "no", False),
        ("no\nI see none", "yes", True),  # words are split at blanks alone
        ("I cannot tell", "yes", True),  # everything else is a yes
        ("", "yes", True),
        ("Well,no", "yes", True),  # the comma goes, and the words grow together
    ],
)
def test_pope_takes_everything_but_a_no_for_a_yes(answer, parsed, unparsed):
    assert score("pope", {"label": "yes"}, answer) == (float(parsed == "yes"), parsed, unparsed)
    assert score("pope", {"answer": "no"}, answer).score == float(parsed == "no")


OPTIONS = {"A": "$6", "B": "the owner's", "C": "a cat", "D": "a black cat"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("(C)", "C"),
        ("'D'", "D"),
        ("The answer is (A) or (C)", "C"),  # the last of several
        ("(C), and not (A)", "A"),
        ("A or C", "C"),
        ("(B) because A is wrong", "B"),  # letters in brackets before others
        ("Answer:B", ""),  # neither in brackets nor between blanks
        ("b", ""),  # capitals alone
        ("A.", "A"),
        ("A. because it is", ""),  # lmms-eval has a step for this, the benchmark none
        ("It has to be a black cat there", "D"),  # more than five words: an option's words
        ("a black cat", ""),  # five words are too few for that
        ("I would say that THE OWNER'S is right", "B"),
        ("It is the owner's cat, or rather a cat of $6", "A"),
        ("I do not know", ""),
        ("", ""),
    ],
)
def test_mmmu_choices_are_read_as_the_benchmark_reads_them_and_never_drawn(answer, letter):
    assert parse_choice(answer, OPTIONS) == letter


def test_an_mmmu_answer_that_names_nothing_is_unparsed_and_wrong():
    row = {"answer": "A", "options": "['x', 'y']", "question_type": "multiple-choice"}
    assert score("mmmu", row, "no idea") == (0, "", True)
    assert score("mmmu", row, "(A)") == (1, "A", False)
    with pytest.raises(UnscorableError, match="expected options like"):
        score("mmmu", row | {"options": "nonsense"}, "A")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("8", [8.0, 8.0]),  # the text and the number found in it
        ("The answer is 8.", [8.0, 8.0]),
        # the plain rule finds ends of the others: 234 of 1,234, and 5 of 1e5
        ("so it is 1,234 or 1e5", ["1,234 or 1e5", 1234.0, 100000.0, 234.0, 5.0]),
        ("First\nthus x = 4.567", [4.57, 4.57]),
        ("It is B", [" b", "b "]),
        ("It is -3 or .5", ["-3 or .5", -3.0, 0.5]),
        ("is :\nno more", ["is :\nno more"]),  # a tail that is a mark alone is none
    ],
)
def test_mmmu_open_answers_are_texts_and_numbers(answer, found):
    assert parse_open(answer) == found


@pytest.mark.parametrize(
    ("answer", "right", "points"),
    [
        ("8", "8", 1),
        ("There are 8 of them", "8", 1),  # numbers anywhere
        ("It is 8.004", "8", 1),  # rounded to two places
        ("It is 8.006", "8", 0),
        ("about 1,234 cells", "1234", 1),
        ("1e5", "100000", 1),
        ("The final answer is Paris", "paris", 1),
        ("The answer is in Paris. It is so.", "paris", 0),  # lower case: no piece ends at ". "
        ("Paris\nso I think", "paris", 0),  # a piece with a word such as "so" counts alone
        ("y = 3 = 4", "4", 1),
        ("= 3\nthe result 5", "3", 0),  # "=" counts in the last piece alone
        ("x", "x", 1),
        ("xy", "x", 0),  # one letter wants a blank beside it
        ("oxen", "ox", 1),  # more letters do not
        ("x y", "x", 1),
        ("", "7", 0),
        ("7 or 8", "['7', 'seven']", 1),
    ],
)
def test_mmmu_open_questions(answer, right, points):
    row = {"answer": right, "options": "[]", "question_type": "open"}
    assert score("mmmu", row, answer).score == points


@pytest.mark.parametrize(
    ("answer", "right", "points"),
    [
        ("Hello World", "hello  world", 1),
        ("abcd", "abce", 0.75),
        ("ab", "ax", 0.5),  # at the threshold it still counts
        ("abc", "axx", 0),  # 1/3 does not
        ("", "x", 0),
        ("kitten", "sitting", 1 - 3 / 7),
        ("$1,000", "1,000", 1 - 1 / 6),
    ],
)
def test_anls(answer, right, points):
    assert score("anls", {"answers": ["far away, very", right]}, answer).score == pytest.approx(
        points
    )


@pytest.mark.parametrize(
    ("metric", "answer", "right", "points"),
    [
        ("exact", " Blue. ", "blue", 1),
        ("exact", "it is blue", "blue", 0),
        ("exact", "3.5", "3.5", 1),
        ("exact", "35", "3.5", 0),
        ("exact", '"o\'clock"!', "o'clock", 1),
        ("contains", "It is dark-blue.", "dark-blue", 1),
        ("contains", "It is blue.", "blue", 1),
        ("contains", "It is bluest", "blue", 0),
        ("contains", "top (left)", "top left", 1),
    ],
)
def test_exact_and_contains(metric, answer, right, points):
    assert score(metric, {"answer": right}, answer).score == points
    assert score(metric, {"answers": ["something else", right]}, answer).score == points


def test_an_answer_without_a_word_is_unparsed_and_nothing_is_right_without_one():
    assert score("exact", {"answer": "blue"}, " ... ") == (0, "", True)
    with pytest.raises(UnscorableError, match="contained in everything"):
        score("contains", {"answer": "?"}, "blue")


CHOICES = {"A": "a red car", "B": "a blue car", "C": "blue", "D": "none of these"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B. a blue car", "B"),
        ("**D**", "D"),
        ("C\nbecause it is blue", "C"),
        ("A red car", "A"),  # by its words, and not by the article
        ("A man in a hat", ""),
        ("The answer is B", "B"),
        ("The correct option is: (D).", "D"),
        ("The answer is A because of the bonnet", "A"),
        ("I choose (C), for its colour", "C"),
        ("(A) or (B)", ""),  # two are none
        ("The answer is (A) or (B)", ""),
        ("The answer is (B), not (A)", "B"),
        ("C) blue", "C"),
        ("Blue.", "C"),
        ("I see none of these here", "D"),
        ("E", ""),  # no option
        ("b", ""),
        ("", ""),
    ],
)
def test_letters_are_read_strictly(answer, letter):
    assert parse_letter(answer, CHOICES) == letter


@pytest.mark.parametrize(
    "row",
    [
        {"A": "cat", "B": "dog", "answer": "B"},
        {"choices": ["cat", "dog"], "correct_choice_idx": 1},
        {"options": ["cat", "dog"], "label": "B"},
        {"multi-choice options": ["(A) cat", "(B) dog"], "answer": "(B)"},
        {"choices": '["cat", "dog"]', "correct_choice_idx": 1},
        {"label": "B"},
    ],
)
def test_options_and_right_letters_stand_in_several_columns(row):
    assert score("letter", row, "B.").score == 1
    assert score("letter", row, "A").score == 0
    assert score("letter", row, "A dog, I think").score == float(len(row) > 1)
    with pytest.raises(UnscorableError, match="no letter"):
        score("letter", {"choices": ["x"]}, "A")


@pytest.mark.parametrize(
    ("original", "others"),
    [
        ({"answers": ["a cat", "cat"]}, [{"answers": "a text"}]),
        ({"answers": [{"answer": "cat"}]}, [{"answers": ["cat"]}]),
        ({"answers": ["cat"]}, [{"answers": [None, "dog"]}]),
        ({"answer": 7}, [{"answer": 2.5}]),
        ({"answer": 7}, [{"answer": "seven"}]),
        ({"answer": "[7]"}, [{"answer": ["7"]}]),
    ],
)
def test_a_row_scores_the_same_where_its_column_holds_several_kinds(original, others):
    columns = Columns()
    for row in (original, *others):
        columns.add(plain_row(row))
    written = columns.fit(plain_row(original))
    assert columns.mixed
    assert right_answers(written) == right_answers(original)
    for metric in ("exact", "anls"):
        for answer in ("cat", "7", "[7]"):
            assert score(metric, written, answer) == score(metric, original, answer)

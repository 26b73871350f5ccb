"""README.md shows the server's actual replies; and the script that checks this detects faults."""

from pages import transcript

SAMPLE = """# A page

```console
$ redis-cli -p 6390
127.0.0.1:6390> KV.PUT train 1_0 TAG '{"a":1}' FIELD x int64 2 VALUES 4 5
(integer) 1
127.0.0.1:6390> KV.TAGS train KEYS 2 1_0 nope
1) "{\\"a\\":1}"
2) (nil)
127.0.0.1:6390> KV.PUT train 1_0 FIELD x int32 VALUES 4
(error) DTYPE field 'x' of partition 'train' is int64, not int32
```

```python
import redis

assert redis.Redis(port=6390).execute_command("KV.CLEAR", "train") == 1
```
"""


def test_readme_is_true():
    done = transcript("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_true_page_is_not_changed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(SAMPLE)
    assert transcript("--check", page).returncode == 0
    assert transcript(page).returncode == 0
    assert page.read_text() == SAMPLE


def test_a_wrong_reply_is_detected_and_corrected(tmp_path):
    page = tmp_path / "page.md"
    wrong = SAMPLE.replace("2) (nil)\n", '2) "{}"\n')
    page.write_text(wrong)
    done = transcript("--check", page)
    assert done.returncode == 1
    assert "(nil)" in done.stderr  # it shows the difference
    assert page.read_text() == wrong
    assert transcript(page).returncode == 0
    assert page.read_text() == SAMPLE


def test_the_commands_of_a_block_share_a_connection(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n127.0.0.1:6390> MULTI\nOK\n127.0.0.1:6390(TX)> INCR n\nQUEUED\n"
        "127.0.0.1:6390(TX)> EXEC\n1) (integer) 1\n```\n"
    )
    done = transcript("--check", page)
    assert done.returncode == 0, done.stderr


def test_failing_python_is_detected(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(SAMPLE.replace("== 1", "== 2"))
    assert transcript("--check", page).returncode == 1

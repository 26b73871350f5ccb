// Writes with BLOCK to a full partition.
#include <catch2/catch.hpp>

#include "tests/server/commands/stage.h"

namespace sluice::server {
namespace {

Words Put(const std::string& key, const std::string& bytes) {
  return {"KV.PUT", "p", key, "BLOCK", "0", "FIELD", "x", "utf8", "BLOB", bytes};
}

TEST_CASE("writes to a full partition wait in order of arrival; a write that fits passes",
          "[waiting]") {
  Stage stage(3);
  stage.Write({"PARTITION.CREATE", "p", "MAXBYTES", "10"});
  CHECK(stage.Write(Put("a", "12345")) == ":1\r\n");
  CHECK(stage.Write(Put("b", "12345")) == ":1\r\n");
  const std::string nine(9, 'x');
  CHECK(stage.ConnectionInfo(0).Run(Put("c", nine)).empty());
  CHECK(stage.ConnectionInfo(1).Run(Put("d", "1234")).empty());
  CHECK(stage.ConnectionInfo(2).Run(Put("e", "12")).empty());
  CHECK(stage.Write(Put("f", "12345678901")).starts_with("-FULL "));  // larger than the limit
  stage.Write({"KV.CLEAR", "p", "KEYS", "1", "a"});
  CHECK(stage.ConnectionInfo(0).Resume().empty());
  CHECK(stage.ConnectionInfo(1).Resume() == ":1\r\n");
  CHECK(stage.ConnectionInfo(2).Resume().empty());
  stage.Write({"KV.CLEAR", "p", "KEYS", "2", "b", "d"});
  CHECK(stage.ConnectionInfo(0).Resume() == ":1\r\n");
  CHECK(stage.ConnectionInfo(2).Resume().empty());
  stage.Write({"PARTITION.CREATE", "p", "MAXBYTES", "11"});
  CHECK(stage.ConnectionInfo(2).Resume() == ":1\r\n");
}

TEST_CASE("a write that waited returns the state of its rows at that moment", "[waiting]") {
  Stage stage(2);
  stage.Write({"PARTITION.CREATE", "p", "MAXROWS", "1"});
  stage.Write({"KV.PUT", "p", "a", "TAG", R"({"n":1})"});
  CHECK(stage.ConnectionInfo(0)
            .Run({"KV.PUT", "p", "b", "RETURN", "BOTH", "BLOCK", "0", "FIELD", "x", "int8",
                  "VALUES", "1"})
            .empty());
  CHECK(stage.ConnectionInfo(1)
            .Run({"KV.MPUT", "p", "KEYS", "1", "c", "BLOCK", "0", "RETURN", "TAGS", "TAGS", "1",
                  R"({"m":1})"})
            .empty());
  stage.Write({"KV.CLEAR", "p", "KEYS", "1", "a"});
  CHECK(stage.ConnectionInfo(0).Resume() == "*3\r\n:1\r\n*1\r\n$1\r\nx\r\n*1\r\n$2\r\n{}\r\n");
  CHECK(stage.ConnectionInfo(1).Resume().empty());
  stage.Write({"KV.CLEAR", "p", "KEYS", "1", "b"});
  const std::string index("\2\0\0\0\0\0\0\0", 8);
  CHECK(stage.ConnectionInfo(1).Resume() ==
        "*2\r\n*2\r\n:1\r\n$8\r\n" + index + "\r\n*1\r\n$7\r\n{\"m\":1}\r\n");
}

TEST_CASE("a write that waits for rows passes on the space that it was woken for", "[waiting]") {
  Stage stage(2);
  stage.Write({"PARTITION.CREATE", "p", "MAXROWS", "1"});
  stage.Write({"KV.MPUT", "p", "NEW", "1"});
  CHECK(stage.ConnectionInfo(0).Run(Put("c", "1")).empty());
  CHECK(stage.ConnectionInfo(1).Run(Put("d", "1")).empty());
  stage.Write({"KV.CLEAR", "p", "KEYS", "1", "0"});
  stage.Drop(0);
  CHECK(stage.ConnectionInfo(1).Resume() == ":1\r\n");
}

TEST_CASE("a consumer that evicts makes space for a waiting write", "[waiting]") {
  Stage stage(1);
  stage.Write({"PARTITION.CREATE", "p", "MAXROWS", "1", "TASKS", "1", "t", "AUTOEVICT"});
  stage.Write({"KV.PUT", "p", "a", "FIELD", "x", "utf8", "BLOB", "1"});
  CHECK(stage.ConnectionInfo(0).Run(Put("b", "2")).empty());
  CHECK(Got(stage.Write(Fetch("1"))) == "0");
  CHECK(stage.ConnectionInfo(0).Resume() == ":1\r\n");
  CHECK(stage.Write({"KV.LIST"}) == "*2\r\n$1\r\np\r\n:1\r\n");
}

TEST_CASE("a write to a full partition gets FULL at its time-out", "[waiting]") {
  Stage stage(1);
  stage.Write({"PARTITION.CREATE", "p", "MAXROWS", "1"});
  stage.Write({"KV.MPUT", "p", "NEW", "1"});
  Words put = Put("b", "2");
  put[4] = "1000";
  CHECK(stage.ConnectionInfo(0).Run(put).empty());
  stage.server.GetClock().Advance(kSecondUs - 1);
  CHECK(stage.ConnectionInfo(0).Resume().empty());
  stage.server.GetClock().Advance(1);
  CHECK(stage.ConnectionInfo(0).Resume() ==
        "-FULL partition 'p' has 1 rows of at most 1 (MAXROWS), and this write would add 1\r\n");
}

}  // namespace
}  // namespace sluice::server

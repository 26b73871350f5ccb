#include "resp/request_parser.h"

#include <random>

#include <catch2/catch.hpp>

#include "tests/resp/parser_driver.h"

namespace sluice::tests {
namespace {

using Event = resp::RequestParser::Event;
using namespace std::string_literals;

std::string Binary() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    bytes.push_back(static_cast<char>(i));
  }
  return bytes + "\r\n$1\r\n";
}

std::string Joined(const std::vector<std::string>& args) {
  std::string line;
  for (const std::string& arg : args) {
    line += line.empty() ? "" : " ";
    line += arg.size() >= resp::kLargeBulkBytes ? "{" + std::to_string(arg.size()) + "}" : "";
    line += arg;
  }
  return line;
}

const std::vector<std::vector<std::string>>& Requests() {
  static const std::vector<std::vector<std::string>> kRequests = {
      {"PING"},
      {"ECHO", ""},
      {"ECHO", Binary()},
      {"KV.PUT", "p", "key", "FIELD", "x", "uint8", "64", "BLOB", std::string(64, '\xff')},
      {"SET", "k", std::string(resp::kLargeBulkBytes - 1, 's')},
      {"SET", "k", std::string(resp::kLargeBulkBytes, 'l')},
      {"SET", std::string(16'500, 'a'), "between", std::string(17'000, 'b'), "after"},
  };
  return kRequests;
}

// Puts bytes into the parser's input without running it.
void Push(resp::RequestParser& parser, std::string_view bytes) {
  const std::span<char> bulk = parser.BulkSpace();
  const std::span<char> space = parser.Space();
  const std::size_t to_bulk = std::min(bulk.size(), bytes.size());
  REQUIRE(bytes.size() - to_bulk <= space.size());
  std::copy_n(bytes.begin(), to_bulk, bulk.begin());
  std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(to_bulk), bytes.end(), space.begin());
  parser.Filled(bytes.size());
}

TEST_CASE("a request split at any offset is the same request", "[parser]") {
  for (const auto& args : Requests()) {
    const std::string bytes = Encode(args);
    const Transcript expected = {Joined(args)};
    const std::size_t step = bytes.size() > 2000 ? 37 : 1;
    for (std::size_t offset = 0; offset < bytes.size(); offset += step) {
      if (ParseSplit(bytes, offset) != expected) {
        FAIL_CHECK(args[0] << " split at " << offset);
      }
    }
    CHECK(ParseByBytes(bytes) == expected);
  }
}

TEST_CASE("pipelined requests in random segments are parsed whole and in order", "[parser]") {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    std::string bytes;
    Transcript expected;
    for (int i = 0; i < 40; ++i) {
      const auto& args = Requests()[random() % Requests().size()];
      bytes += Encode(args);
      expected.push_back(Joined(args));
    }
    const std::size_t size_max = std::size_t{1} << (random() % 17);
    const Transcript events = Parse(bytes, [&] { return 1 + random() % size_max; });
    if (events != expected) {
      FAIL_CHECK("round " << round);
    }
  }
}

TEST_CASE("every prefix of a request needs more input", "[parser]") {
  for (const auto& args : Requests()) {
    const std::string bytes = Encode(args);
    ParserDriver driver;
    CHECK(driver.Parser().Idle());
    driver.Feed(std::string_view(bytes).substr(0, bytes.size() - 1), [] { return std::size_t{1}; });
    CHECK(driver.Events().empty());
    CHECK_FALSE(driver.Parser().Idle());
    driver.Feed(std::string_view(bytes).substr(bytes.size() - 1), [] { return std::size_t{1}; });
    CHECK(driver.Events().size() == 1);
    CHECK(driver.Parser().Idle());
  }
}

TEST_CASE("a large bulk is received directly into its buffer", "[parser]") {
  const resp::Limits limits;
  resp::RequestParser parser(limits);
  const std::string value(100'000, 'v');
  Push(parser, "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nvvv");
  REQUIRE(parser.Next() == Event::kBulk);
  CHECK(parser.Next() == Event::kBulk);  // until it has a buffer
  CHECK(parser.BulkBytes() == 100'000);
  CHECK(parser.ArgsExpected() == 4);
  REQUIRE(parser.Args().size() == 2);
  CHECK(parser.Args()[1].text == "k");

  std::string buffer(value.size(), '\0');
  parser.GiveBuffer(buffer.data());
  CHECK(parser.BulkSpace().data() == buffer.data() + 3);
  CHECK(parser.BulkSpace().size() == 100'000 - 3);
  CHECK(parser.Next() == Event::kNeedMore);

  // The rest of the bulk and what follows it come with one read.
  Push(parser, value.substr(3) + "\r\n$2\r\nEX\r\n*1\r\n$4\r\nPI");
  CHECK(parser.BulkSpace().empty());
  REQUIRE(parser.Next() == Event::kRequest);
  REQUIRE(parser.Args().size() == 4);
  CHECK(parser.Args()[0].text == "SET");
  CHECK(parser.Args()[2].large == 0);
  CHECK(parser.Args()[2].text.data() == buffer.data());
  CHECK(parser.Args()[2].text == value);
  CHECK(parser.Args()[3].large == -1);
  CHECK(parser.Args()[3].text == "EX");
  CHECK(parser.BufferBytes() < 2 * 2048 + 1024);
}

TEST_CASE("a large bulk can be drained from its header on, or from its middle", "[parser]") {
  const bool in_the_middle = GENERATE(false, true);
  const resp::Limits limits;
  resp::RequestParser parser(limits);
  std::string buffer(20'000, 'o');
  Push(parser, "*3\r\n$3\r\nSET\r\n$20000\r\n" + std::string(100, 'v'));
  REQUIRE(parser.Next() == Event::kBulk);
  if (in_the_middle) {
    parser.GiveBuffer(buffer.data());
    Push(parser, std::string(900, 'v'));
    CHECK(parser.Next() == Event::kNeedMore);
  }
  parser.Drain();
  CHECK(parser.BulkSpace().empty());
  CHECK(parser.BulkBytes() == 20'000);
  std::string rest(in_the_middle ? 19'000 : 19'900, 'v');
  rest += "\r\n$1\r\nx\r\n";
  for (std::string_view left = rest; !left.empty();) {
    REQUIRE(parser.Next() == Event::kNeedMore);
    const std::string_view part = left.substr(0, parser.Space().size());
    Push(parser, part);
    left.remove_prefix(part.size());
  }
  REQUIRE(parser.Next() == Event::kRequest);
  REQUIRE(parser.Args().size() == 3);
  CHECK(parser.Args()[0].text == "SET");
  CHECK(parser.Args()[1].text.empty());
  CHECK(parser.Args()[1].large == 0);
  CHECK(parser.Args()[2].text == "x");
  CHECK(buffer.substr(1000) == std::string(19'000, 'o'));
}

TEST_CASE("large bulks are numbered within each request", "[parser]") {
  const std::string value(resp::kLargeBulkBytes, 'v');
  const std::string bytes = Encode({"A", value, value}) + Encode({"B", value});
  const resp::Limits limits;
  resp::RequestParser parser(limits);
  std::string buffer(value.size(), '\0');
  std::vector<int> numbers;
  for (std::string_view left = bytes; !left.empty();) {
    const std::size_t free = parser.BulkSpace().size() + parser.Space().size();
    Push(parser, left.substr(0, free));
    left.remove_prefix(std::min(left.size(), free));
    Event event = Event::kNeedMore;
    while ((event = parser.Next()) != Event::kNeedMore) {
      if (event == Event::kBulk) {
        parser.GiveBuffer(buffer.data());
        continue;
      }
      for (const resp::Argument& argument : parser.Args()) {
        numbers.push_back(argument.large);
      }
    }
  }
  CHECK(numbers == std::vector<int>{-1, 0, 1, -1, 0});
}

TEST_CASE("the input buffer grows on demand and shrinks when the request is done", "[parser]") {
  const resp::Limits limits;
  resp::RequestParser parser(limits);
  CHECK(parser.BufferBytes() == 0);
  CHECK(parser.Space().size() == 2048);

  // A read that fills it doubles it, up to 16 KiB.
  const std::string pings = Encode({"PING"});
  std::string stream;
  while (stream.size() < 200'000) {
    stream += pings;
  }
  std::vector<std::size_t> sizes;
  for (std::string_view left = stream; !left.empty();) {
    const std::size_t space = parser.Space().size();
    sizes.push_back(space);
    Push(parser, left.substr(0, space));
    left.remove_prefix(std::min(left.size(), space));
    while (parser.Next() == Event::kRequest) {
    }
  }
  CHECK(sizes[0] == 2048);
  CHECK(sizes[1] > 3000);
  CHECK(*std::max_element(sizes.begin(), sizes.end()) <= 16 * 1024);
  CHECK(sizes[sizes.size() / 2] > 16'000);

  // A request whose small arguments need more gets it, and frees it afterwards.
  const std::vector<std::string> many(100, std::string(1000, 'x'));
  ParserDriver driver;
  driver.Feed(Encode(many), [] { return std::string_view::npos; });
  CHECK(driver.Events() == Transcript{Joined(many)});
  CHECK(driver.BufferBytesMost() >= 100'000);
  CHECK(driver.Parser().Space().size() == 16 * 1024);
  // The list of arguments does the same.
  driver.Feed(Encode(std::vector<std::string>(5000, "")), [] { return std::string_view::npos; });
  CHECK(driver.Events().size() == 2);
  static_cast<void>(driver.Parser().Space());
  CHECK(driver.Parser().BufferBytes() <= 16 * 1024 + 1024 * sizeof(resp::Argument));
}

TEST_CASE("changed limits apply from the next header on", "[parser]") {
  resp::Limits limits;
  resp::RequestParser parser(limits);
  Push(parser, "*2\r\n$1\r\nA\r\n");
  CHECK(parser.Next() == Event::kNeedMore);
  limits.args_max = 1;
  limits.bulk_bytes_max = 3;
  Push(parser, "$3\r\nabc\r\n*1\r\n$4\r\n");
  CHECK(parser.Next() == Event::kRequest);
  CHECK(parser.Next() == Event::kError);
  CHECK(parser.ErrorText() == "invalid bulk length");
}

TEST_CASE("a line that comes in pieces is scanned once", "[parser]") {
  const resp::Limits limits;
  resp::RequestParser parser(limits);
  Push(parser, "PING");
  CHECK(parser.Next() == Event::kNeedMore);
  // A newline inserted into the scanned part shows whether the parser scans it again.
  parser.Space().data()[-1] = '\n';
  CHECK(parser.Next() == Event::kNeedMore);
  Push(parser, "\n");
  CHECK(parser.Next() == Event::kRequest);
}

}  // namespace
}  // namespace sluice::tests

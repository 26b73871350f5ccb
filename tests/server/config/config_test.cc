#include "server/config/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <catch2/catch.hpp>
#include <unistd.h>

#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

constexpr const char* kFile = SLUICE_SOURCE_DIR "/conf/sluice.conf";

std::string ConfFile() {
  std::ifstream stream(kFile);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// The options of the file with the comment above each, joined to one line.
struct Entry {
  std::string comment;
  std::string name;
  std::string value;
};
std::vector<Entry> Entries(const std::string& text) {
  std::vector<Entry> entries;
  std::istringstream lines(text);
  std::string comment;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) {
      comment.clear();
    } else if (line.starts_with("# ")) {
      comment += (comment.empty() ? "" : " ") + line.substr(2);
    } else if (line[0] != '#') {
      const std::size_t blank = line.find(' ');
      entries.push_back({comment, line.substr(0, blank), line.substr(blank + 1)});
    }
  }
  return entries;
}

TEST_CASE("conf/sluice.conf agrees with the option table", "[config]") {
  const std::vector<Entry> entries = Entries(ConfFile());
  REQUIRE(entries.size() == Options().size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Option& option = Options()[i];
    CAPTURE(option.name);
    CHECK(entries[i].name == option.name);
    CHECK(entries[i].value == (option.initial.empty() ? "\"\"" : option.initial));
    CHECK(entries[i].comment == std::string(option.summary) + (option.immutable ? " (fixed)" : ""));
  }
}

TEST_CASE("the file contains the defaults", "[config]") {
  const Config defaults;
  Config read;
  const Status status = read.ReadText(ConfFile());
  CAPTURE(status.Message());
  REQUIRE(status.ok());
  for (const Option& option : Options()) {
    CAPTURE(option.name);
    CHECK(read.Get(option) == defaults.Get(option));
  }
}

TEST_CASE("memory sizes are parsed as in Redis", "[config]") {
  Config config;
  const Option& option = *FindOption("MaxMemory");
  for (const auto& [text, bytes] :
       std::vector<std::pair<std::string, std::string>>{{"0", "0"},
                                                        {"100", "100"},
                                                        {"1k", "1000"},
                                                        {"1KB", "1024"},
                                                        {"2mb", "2097152"},
                                                        {"1g", "1000000000"},
                                                        {"1gb", "1073741824"}}) {
    REQUIRE(config.Set(option, text).ok());
    CHECK(config.Get(option) == bytes);
  }
  REQUIRE(config.Set(option, "50%").ok());
  CHECK(config.maxmemory == MachineMemoryBytes() / 100 * 50);
  for (const char* const bad :
       {"", "-1", "abc", "1tb", "101%", "99999999999999999999", "9999999999gb"}) {
    CAPTURE(bad);
    CHECK_FALSE(config.Set(option, bad).ok());
  }
}

TEST_CASE("the command line is a file, then options", "[config]") {
  Config config;
  const std::string_view args[] = {kFile, "--port", "7000", "--bind", "127.0.0.1", "::1"};
  REQUIRE(config.ReadCommandLine(args).ok());
  CHECK(config.port == 7000);
  CHECK(config.bind == "127.0.0.1 ::1");
  const auto error = [](std::vector<std::string_view> words) {
    Config fresh;
    return fresh.ReadCommandLine(words).Message();
  };
  CHECK(error({"--nosuch", "1"}) == "unknown option '--nosuch'");
  CHECK(error({"--port"}).find("port") != std::string::npos);
  CHECK(error({"--port", "70000"}).find("from 0 to 65535") != std::string::npos);
  CHECK(error({"/no/such/file"}).find("/no/such/file") != std::string::npos);
  CHECK(Config().ReadText("port 1\n\n nosuch 2").Message() == "line 3: unknown option 'nosuch'");
}

TEST_CASE("CONFIG SET changes all options or none, and takes effect immediately", "[config]") {
  tests::TestServer server;
  tests::TestClient client(server);
  CHECK(client.Run({"CONFIG", "SET", "maxmemory", "1gb", "timeout", "5"}) == "+OK\r\n");
  CHECK(server.GetMemory().GetBudget().Limit() == 1 << 30);
  CHECK(client.Run({"CONFIG", "SET", "timeout", "9", "nosuch", "2"}) ==
        "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n");
  CHECK(client.Run({"CONFIG", "SET", "timeout", "9", "maxmemory", "abc"}) ==
        "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - maxmemory: expected "
        "a memory value (like 512mb), got 'abc'\r\n");
  CHECK(client.Run({"CONFIG", "SET", "timeout", "9", "proto-max-bulk-len", "1"}) ==
        "-ERR CONFIG SET failed (possibly related to argument 'proto-max-bulk-len') - "
        "proto-max-bulk-len: expected 1048576 to 1099511627776 bytes, got '1'\r\n");
  CHECK(client.Run({"CONFIG", "SET", "timeout", "9", "port", "1"}) ==
        "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable "
        "config\r\n");
  CHECK(client.Run({"CONFIG", "SET", "timeout", "9", "timeout", "8"}).find("duplicate parameter") !=
        std::string::npos);
  CHECK(client.Run({"CONFIG", "SET", "timeout", "9", "maxclients"})
            .starts_with("-ERR Unknown option or number"));
  CHECK(server.GetConfig().timeout == 5);
  CHECK(client.Run({"CONFIG", "GET", "TIME*", "nosuch"}) == "*2\r\n$7\r\ntimeout\r\n$1\r\n5\r\n");
  CHECK(client.Run({"CONFIG", "GET", "nosuch"}) == "*0\r\n");
}

TEST_CASE("CONFIG REWRITE keeps the file's lines, and rewrites changed options", "[config]") {
  const std::string path = std::filesystem::temp_directory_path() / "sluice-rewrite-XXXXXX";
  std::string name = path;
  const int file = mkstemp(name.data());
  REQUIRE(file >= 0);
  close(file);
  const struct Remove {
    std::string name;
    ~Remove() { std::filesystem::remove(name); }
  } remove{name};
  std::ofstream(name) << "# kept\nmaxmemory 1gb\n\n  timeout   5\nmaxclients 100\n";
  Config config;
  const std::string_view args[] = {name};
  REQUIRE(config.ReadCommandLine(args).ok());
  REQUIRE(config.Set(*FindOption("timeout"), "7").ok());
  REQUIRE(config.Set(*FindOption("requirepass"), "two words").ok());
  const Status status = config.RewriteFile();
  CAPTURE(status.Message());
  REQUIRE(status.ok());
  std::ifstream stream(name);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  CHECK(text ==
        "# kept\nmaxmemory 1gb\n\ntimeout 7\nmaxclients 100\n\n# Written by CONFIG REWRITE\n"
        "requirepass \"two words\"\n");
  Config read;
  REQUIRE(read.ReadCommandLine(args).ok());
  for (const Option& option : Options()) {
    CHECK(read.Get(option) == config.Get(option));
  }
  const std::filesystem::path folder = std::filesystem::path(name).parent_path();
  config.file = folder / "no-such-folder" / "file";
  CHECK_FALSE(config.RewriteFile().ok());
}

}  // namespace
}  // namespace sluice::server

// Replays tests/wire/*.txt in-process, over TCP and over the Unix socket; those named redis_* also
// against a real redis-server. SLUICE_UPDATE_TRANSCRIPTS=1 writes what the server answers into the
// files (in-process).
#include "tests/wire/transcript.h"

#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "server/command_table.h"
#include "tests/support/live_server.h"
#include "tests/support/show.h"
#include "tests/support/test_server.h"

namespace sluice::tests {
namespace {

// Something that answers commands: a connection to a server of its own.
class Peer {
 public:
  virtual ~Peer() = default;
  // Throws where there is no answer.
  virtual Value Ask(const std::vector<std::string>& words) = 0;
};

class InProcess final : public Peer {
 public:
  InProcess() : client_(server_) {}
  Value Ask(const std::vector<std::string>& words) override {
    return DecodeAll(client_.Run(words)).at(0);
  }

 private:
  TestServer server_;
  TestClient client_;
};

class OverSocket final : public Peer {
 public:
  explicit OverSocket(bool tcp) : client_(tcp ? server_.Tcp() : server_.Unix()) {}
  Value Ask(const std::vector<std::string>& words) override {
    client_.Send(Encode(words));
    return client_.Receive();
  }

 private:
  LiveServer server_;
  SocketClient client_;
};

// redis-server as installed, on a Unix socket of its own.
class RealRedis final : public Peer {
 public:
  RealRedis() {
    std::string folder = "/tmp/sluice-redis-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) {
      throw std::runtime_error("mkdtemp failed");
    }
    folder_ = folder;
    const std::string path = folder + "/s";
    child_ = fork();
    if (child_ == 0) {
      const int null = open("/dev/null", O_RDWR);
      dup2(null, 1);
      execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path.c_str(), "--save",
             "", "--dir", folder.c_str(), nullptr);
      _exit(127);
    }
    WaitUntil([&] {
      if (waitpid(child_, nullptr, WNOHANG) == child_) {
        throw std::runtime_error("redis-server does not start: is it installed?");
      }
      try {
        client_ = std::make_unique<SocketClient>(SocketClient::Unix(path));
      } catch (const std::runtime_error&) {
        return false;
      }
      return true;
    });
  }
  ~RealRedis() override {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    std::filesystem::remove_all(folder_);
  }
  RealRedis(const RealRedis&) = delete;
  RealRedis& operator=(const RealRedis&) = delete;
  Value Ask(const std::vector<std::string>& words) override {
    client_->Send(Encode(words));
    return client_->Receive();
  }

 private:
  std::string folder_;
  pid_t child_ = -1;
  std::unique_ptr<SocketClient> client_;
};

template <typename MakePeer>
void Replay(const std::string& name, const MakePeer& make_peer) {
  CAPTURE(name);
  std::unique_ptr<Peer> peer = make_peer();
  for (const Exchange& exchange : ParseTranscript(ReadFile(SLUICE_WIRE_DIR "/" + name))) {
    if (exchange.command == "!restart") {
      peer = make_peer();
      continue;
    }
    if (exchange.command == "!resp3") {
      peer->Ask({"HELLO", "3"});
      continue;
    }
    const std::string shown = Show(peer->Ask(exchange.words));
    CAPTURE(exchange.line, exchange.command, exchange.reply, shown);
    CHECK(Matches(exchange, shown));
  }
}

void Update(const std::string& name) {
  const std::string path = SLUICE_WIRE_DIR "/" + name;
  const std::vector<Exchange> exchanges = ParseTranscript(ReadFile(path));
  std::istringstream lines(ReadFile(path));
  std::ostringstream out;
  auto peer = std::make_unique<InProcess>();
  std::size_t next = 0;
  bool keep_regex = false;
  for (std::string line; std::getline(lines, line);) {
    const bool command = line.starts_with("> ");
    const bool directive = line.starts_with("! ");
    if (line.empty() || line.starts_with("# ") || command || directive ||
        (keep_regex && line.starts_with("~ "))) {
      out << line << "\n";
    }
    if (directive) {
      peer = line == "! restart" ? std::make_unique<InProcess>() : std::move(peer);
      if (line == "! resp3") {
        peer->Ask({"HELLO", "3"});
      }
      ++next;
    }
    if (command) {
      const Exchange& exchange = exchanges.at(next++);
      const std::string shown = Show(peer->Ask(exchange.words));
      keep_regex = exchange.regex;
      out << (exchange.regex ? "" : shown);
    }
  }
  std::ofstream(path) << out.str();
}

TEST_CASE("transcripts hold in-process", "[transcript]") {
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    if (std::getenv("SLUICE_UPDATE_TRANSCRIPTS") != nullptr) {
      Update(name);
    }
    Replay(name, [] { return std::make_unique<InProcess>(); });
  }
}

TEST_CASE("transcripts hold over TCP", "[transcript]") {
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    Replay(name, [] { return std::make_unique<OverSocket>(true); });
  }
}

TEST_CASE("transcripts hold over a Unix socket", "[transcript]") {
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    Replay(name, [] { return std::make_unique<OverSocket>(false); });
  }
}

TEST_CASE("transcripts of what Redis has, too, hold against redis-server", "[transcript]") {
  int replayed = 0;
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    if (name.starts_with("redis_")) {
      Replay(name, [] { return std::make_unique<RealRedis>(); });
      ++replayed;
    }
  }
  CHECK(replayed > 0);
}

TEST_CASE("every command and every error code stands in a transcript", "[transcript]") {
  std::set<std::string> commands;
  std::set<std::string> codes;
  for (const std::string& name : TranscriptFiles(SLUICE_WIRE_DIR)) {
    for (const Exchange& exchange : ParseTranscript(ReadFile(SLUICE_WIRE_DIR "/" + name))) {
      for (std::size_t count : {std::size_t{1}, std::size_t{2}}) {
        std::string command;
        for (std::size_t i = 0; i < std::min(count, exchange.words.size()); ++i) {
          command += (i == 0 ? "" : "|") + exchange.words[i];
        }
        if (const server::Command* const row = server::FindCommand(command)) {
          commands.insert(std::string(row->name));
        }
      }
      if (exchange.reply.starts_with("(error) ")) {
        codes.insert(exchange.reply.substr(8, exchange.reply.find(' ', 8) - 8));
      }
    }
  }
  for (const auto family : server::Families()) {
    for (const server::Command& row : family) {
      CAPTURE(row.name);
      CHECK(commands.count(std::string(row.name)) == 1);
    }
  }
  for (const char* const code : {"ERR", "NOPARTITION", "NOKEY", "NOFIELD", "NOTREADY", "DTYPE",
                                 "SHAPE", "BADTAG", "OOM", "WRONGTYPE", "NOPROTO", "WRONGPASS"}) {
    CAPTURE(code);
    CHECK(codes.count(code) == 1);
  }
}

}  // namespace
}  // namespace sluice::tests

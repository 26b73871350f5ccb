// CONFIG REWRITE.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/ids.h"
#include "server/config/config.h"

namespace sluice::server {
namespace {

std::string LineOf(const Config& config, const Option& option) {
  const std::string value = config.Get(option);
  const std::string quoted = Quoted(value);
  const bool plain = !value.empty() && quoted.size() == value.size() + 2 &&
                     value.find_first_of(" #") == std::string::npos;
  const bool text = option.kind == Option::Kind::kText;
  return fmt::format("{} {}", option.name, text && !plain ? quoted : value);
}

bool WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
  return fsync(file) == 0;
}

// Writes a new file beside the old one and renames it.
Status Replace(const std::string& path, std::string_view text) {
  const auto failed = [&path](std::string_view what) {
    return Status(Code::kError,
                  fmt::format("Rewriting config file: {} '{}': {}", what, path,
                              std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
  };
  struct stat old = {};
  if (stat(path.c_str(), &old) != 0) {
    return failed("can't read");
  }
  std::string temporary = path + ".XXXXXX";
  const Descriptor file(mkostemp(temporary.data(), O_CLOEXEC));
  if (file.Number() < 0) {
    return failed("can't write beside");
  }
  if (fchmod(file.Number(), old.st_mode & 0777U) != 0 || !WriteAll(file.Number(), text) ||
      rename(temporary.c_str(), path.c_str()) != 0) {
    Status status = failed("can't write");
    unlink(temporary.c_str());
    return status;
  }
  return {};
}

}  // namespace

Result<std::string> Config::RewrittenFile() const {
  if (file.empty()) {
    return Status(Code::kError, "The server is running without a config file");
  }
  std::ifstream stream(file);
  std::string text;
  std::set<std::string_view> written;
  for (std::string line; std::getline(stream, line);) {
    const auto [name, value] = SplitLine(line);
    const Option* const option = FindOption(name);
    if (option == nullptr) {
      text += line + "\n";
    } else if (written.insert(option->name).second) {
      Config as_written;
      const bool same =
          as_written.Set(*option, value).ok() && as_written.Get(*option) == Get(*option);
      text += (same ? line : LineOf(*this, *option)) + "\n";
    }
  }
  bool first = true;
  const Config defaults;
  for (const Option& option : Options()) {
    if (!written.contains(option.name) && Get(option) != defaults.Get(option)) {
      text += first ? "\n# Written by CONFIG REWRITE\n" : "";
      text += LineOf(*this, option) + "\n";
      first = false;
    }
  }
  return text;
}

Status Config::RewriteFile() const {
  TRY_ASSIGN(const std::string text, RewrittenFile());
  return ReplaceFile(text);
}

Status Config::ReplaceFile(std::string_view text) const {
  return Replace(file, text);
}

}  // namespace sluice::server

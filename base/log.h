// The server's log: spdlog behind four functions, so that only log.cc pays for its headers.
//
// Thread safety: any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sluice {

enum class LogLevel { kDebug, kVerbose, kNotice, kWarning };

// `level` as in the option loglevel; `file` empty: standard error. Errors: false where the file
// can't be opened.
bool OpenLog(std::string_view level, const std::string& file);
void SetLogLevel(std::string_view level);
void Log(LogLevel level, std::string_view message);

template <typename... Args>
void LogNotice(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kNotice, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sluice

// The server's log: a wrapper around spdlog, so that only log.cc includes its headers.
//
// Thread safety: any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sluice {

enum class LogLevel { kDebug, kVerbose, kNotice, kWarning };

// `level`: a value of the option loglevel. Empty `file`: standard error. Returns false if the file
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

#include "server/persistence/file.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

namespace sluice::server {
namespace {

Status Failure(std::string_view path, std::string_view what, std::int64_t error) {
  return Status(Code::kError,
                fmt::format("{}: {}: {}", path, what,
                            std::generic_category().message(static_cast<int>(-error))));
}

// Repeats a call that a signal interrupted.
template <typename Call>
auto Repeat(const Call& call) {
  auto result = call();
  while (result == -EINTR) {
    result = call();
  }
  return result;
}

}  // namespace

File::~File() {
  if (descriptor_ >= 0) {
    files_->Close(descriptor_);
  }
}

Status File::Failed(std::string_view what, std::int64_t error) const {
  return Failure(path_, what, error);
}

Status File::Write(std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::int64_t written = Repeat([&] { return files_->Write(descriptor_, offset, bytes); });
    if (written <= 0) {
      return Failed("cannot write", written == 0 ? -EIO : written);
    }
    offset += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::size_t> File::Read(std::uint64_t offset, std::span<char> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::int64_t read =
        Repeat([&] { return files_->Read(descriptor_, offset + done, bytes.subspan(done)); });
    if (read < 0) {
      return Failed("cannot read", read);
    }
    if (read == 0) {
      break;
    }
    done += static_cast<std::size_t>(read);
  }
  return done;
}

Result<std::uint64_t> File::Size() {
  const std::int64_t size = files_->Size(descriptor_);
  if (size < 0) {
    return Failed("cannot get the size", size);
  }
  return static_cast<std::uint64_t>(size);
}

Status File::Reserve(std::uint64_t size) {
  const int error = Repeat([&] { return files_->Reserve(descriptor_, size); });
  return error < 0 ? Failed("cannot reserve space", error) : Status();
}

Status File::Truncate(std::uint64_t size) {
  const int error = Repeat([&] { return files_->Truncate(descriptor_, size); });
  return error < 0 ? Failed("cannot truncate", error) : Status();
}

// An interrupted sync is an error, too: what it has written is not known.
Status File::Sync() {
  const int error = files_->Sync(descriptor_);
  return error < 0 ? Failed("cannot sync", error) : Status();
}

Result<Folder> Folder::Open(FileSystem& files, const std::string& path) {
  const int descriptor = Repeat([&] { return files.OpenFolder(path); });
  if (descriptor < 0) {
    return Failure(path, "cannot open the folder", descriptor);
  }
  return Folder(files, descriptor, path);
}

Folder::~Folder() {
  if (descriptor_ >= 0) {
    files_->Close(descriptor_);
  }
}

Status Folder::Check(int result, std::string_view what, const std::string& name) const {
  return result < 0 ? Failure(name.empty() ? path_ : path_ + "/" + name, what, result) : Status();
}

Result<Folder> Folder::OpenFolder(const std::string& name) {
  const int descriptor = Repeat([&] { return files_->OpenFolder(descriptor_, name); });
  TRY(Check(descriptor, "cannot open the folder", name));
  return Folder(*files_, descriptor, path_ + "/" + name);
}

Result<File> Folder::Open(const std::string& name, FileSystem::Mode mode) {
  const int descriptor = Repeat([&] { return files_->Open(descriptor_, name, mode); });
  TRY(Check(descriptor, mode == FileSystem::Mode::kCreate ? "cannot create" : "cannot open", name));
  return File(*files_, descriptor, path_ + "/" + name);
}

Status Folder::MakeFolder(const std::string& name) {
  return Check(files_->MakeFolder(descriptor_, name), "cannot make the folder", name);
}

Status Folder::Rename(const std::string& from, const std::string& to) {
  return Check(files_->Rename(descriptor_, from, to), "cannot rename", from);
}

Status Folder::Remove(const std::string& name) {
  return Check(files_->Remove(descriptor_, name), "cannot remove", name);
}

Status Folder::RemoveFolder(const std::string& name) {
  return Check(files_->RemoveFolder(descriptor_, name), "cannot remove the folder", name);
}

Status Folder::Sync() {
  return Check(files_->Sync(descriptor_), "cannot sync the folder", "");
}

Result<std::vector<std::string>> Folder::Names() {
  std::vector<std::string> names;
  TRY(Check(files_->List(descriptor_, names), "cannot list the folder", ""));
  std::sort(names.begin(), names.end());
  return names;
}

Status Folder::Lock() {
  const int error = Repeat([&] { return files_->Lock(descriptor_); });
  if (error == -EWOULDBLOCK) {
    return Status(Code::kError, fmt::format("{}: another server has this folder", path_));
  }
  return Check(error, "cannot lock the folder", "");
}

}  // namespace sluice::server

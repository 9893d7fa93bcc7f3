// What is being written beside its final place, kept where a signal handler can find it.
#pragma once

#include <filesystem>

namespace laconic {

// `path`: a file, or a directory of files. More than a few at a time, and names over PATH_MAX, are not kept.
void NoteStaging(const std::filesystem::path& path) noexcept;
void ForgetStaging(const std::filesystem::path& path) noexcept;

// Removes all that is noted, for a process that is about to end. Safe in a signal handler.
void RemoveStaging() noexcept;

}  // namespace laconic

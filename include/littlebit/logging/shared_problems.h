// Warnings and errors of the processes of a run, each shown once: a process that is not the first
// holds its warnings back until the processes tell each other what they have (in_all of
// distributed/agreement.h), and the first shows those that are new.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

// From now on; this process is the first, or one of the others.
void share_problems(bool is_first);

// The warnings of this process since the last exchange. None where problems are not shared.
std::vector<std::string> warnings_to_tell();

// What every process told, by rank: ends the exchange. The first shows, with their rank, what
// neither it nor another one told before.
void show_told_warnings(const std::vector<std::vector<std::string>>& by_rank);

// The first process shows this error (or this end of a run that was stopped); here it is not shown
// any more.
void leave_to_first(std::string_view error);

// Shows what is held back: the processes tell each other nothing any more. log_error() does it too.
void show_held_warnings();

}  // namespace littlebit

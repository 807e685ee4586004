/* SPDX-License-Identifier: MIT */
/*
 * err.h - negative errno, and our own codes where a caller must tell cases apart.
 *
 * Functions return 0 (or a count) on success and a negative number on failure: -errno, or
 * one of the codes below. Our codes lie under -5000, so they never collide with an errno.
 * Each is thrown in few places.
 */
#ifndef SPATE_BASE_ERR_H
#define SPATE_BASE_ERR_H

/* clang-format off */
/*       name            value  text */
#define SP_ERRORS(X)                                                                \
	X(SP_EUNAVAIL,    5002, "remote unavailable, work kept")                    \
	X(SP_EAUTH,       5003, "not authorised")                                   \
	X(SP_EINTEGRITY,  5004, "integrity failure")                                \
	X(SP_EPROTO,      5005, "the other side speaks another protocol version")   \
	X(SP_EFORMAT,     5006, "data of another format version")                   \
	X(SP_ELOCKED,     5007, "lock held by another process")                     \
	X(SP_ECONFLICT,   5008, "conflict: the remote has changed")                 \
	X(SP_EPENDING,    5009, "deadline passed or changes held, work pending")    \
	X(SP_EPARTIAL,    5010, "done, but some files were skipped or failed")      \
	X(SP_EDIFFERS,    5011, "differences found")                                \
	X(SP_ENOWORKSPACE, 5012, "no such workspace")                                \
	X(SP_EMALFORMED,  5013, "malformed message")                                \
	X(SP_ETOOBIG,     5014, "over a limit")                                     \
	X(SP_EMOVED,      5015, "the directory is not the one it was")              \
	X(SP_EMISSING,    5016, "the hub lacks contents the commit names")          \
	X(SP_ESUPERSEDED, 5017, "the hub takes another start of spate for this one")

enum {
#define SP_ERR_ENUM(name, value, text) name = value,
	SP_ERRORS(SP_ERR_ENUM)
#undef SP_ERR_ENUM
};
/* clang-format on */

/**
 * err_str() - one line that says what an error is.
 * @err: a negative or positive errno or SP_ code
 *
 * Return: a static or thread-local string, never NULL. Context: any thread.
 */
const char *err_str(int err);

#endif

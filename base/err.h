/* SPDX-License-Identifier: MIT */
/*
 * err.h - negative errno, and our own codes where a caller must tell cases apart.
 *
 * Functions return 0 (or a count) on success and a negative number on failure: -errno, or
 * one of the codes below. Our codes lie under -5000, so they never collide with an errno.
 * Each is thrown in few places and has a parent errno for callers that do not care.
 */
#ifndef SPATE_BASE_ERR_H
#define SPATE_BASE_ERR_H

/* clang-format off */
/*       name         value  parent       text */
#define SP_ERRORS(X)                                                                        \
	X(SP_EUNAVAIL,    5002, EHOSTDOWN,   "remote unavailable, work kept")               \
	X(SP_EAUTH,       5003, EACCES,      "not authorised")                              \
	X(SP_EINTEGRITY,  5004, EBADMSG,     "integrity failure")                           \
	X(SP_EPROTO,      5005, EPROTO,      "the other side speaks another protocol version") \
	X(SP_EFORMAT,     5006, EPROTO,      "data of another format version")              \
	X(SP_ELOCKED,     5007, EBUSY,       "lock held by another process")                \
	X(SP_ECONFLICT,   5008, ESTALE,      "conflict: the remote has changed")            \
	X(SP_EPENDING,    5009, ETIMEDOUT,   "deadline passed or changes held, work pending") \
	X(SP_EPARTIAL,    5010, EIO,         "done, but some files were skipped or failed") \
	X(SP_EDIFFERS,    5011, EEXIST,      "differences found")                           \
	X(SP_ENOWORKSPACE, 5012, ENOENT,     "no such workspace")                           \
	X(SP_EMALFORMED,  5013, EBADMSG,     "malformed message")                           \
	X(SP_ETOOBIG,     5014, EMSGSIZE,    "over a limit")                                \
	X(SP_EMOVED,      5015, ESTALE,      "the directory is not the one it was")         \
	X(SP_EMISSING,    5016, ENOENT,      "the hub lacks contents the commit names")

enum {
#define SP_ERR_ENUM(name, value, parent, text) name = value,
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

/** err_errno() - the plain errno (positive) behind @err: the parent of our own codes. */
int err_errno(int err);

#endif

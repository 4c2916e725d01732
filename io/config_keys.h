/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of configuration keys, and one value from and to text. For the config_*.c files.
 * A new key is a member of Config and one line of the table in config_keys.c.
 */
#ifndef PAL_IO_CONFIG_KEYS_H
#define PAL_IO_CONFIG_KEYS_H

#include <stddef.h>

#include "io/config.h"

enum { PAL_VALUE_SIZE = 8192 }; /* bytes of any value as text */

typedef enum KeyKind {
    KEY_INT,    /* int */
    KEY_LONG,   /* int64_t */
    KEY_AUTO,   /* int, or "auto" for PAL_AUTO */
    KEY_REAL,   /* double */
    KEY_BOOL,   /* bool */
    KEY_CHOICE, /* an enum that begins at 0 */
    KEY_LIST,   /* int array, with its length in another member */
    KEY_PATH    /* char[PAL_PATH_SIZE] */
} KeyKind;

typedef struct ConfigKey {
    const char *section, *name;
    KeyKind kind;
    size_t offset;        /* of the member in Config */
    size_t length_offset; /* KEY_LIST: of the int that holds its length */
    int64_t capacity;     /* KEY_LIST: of the array */
    const char *allowed;  /* numbers: a range such as "[0, 1)"; choices: "a|b|c" */
    const char *fallback; /* the default; NULL: the key must be given */
    const char *help;
} ConfigKey;

extern const ConfigKey config_keys[];
extern const int num_config_keys;

/* Local. NULL when there is none. */
const ConfigKey *config_key_find(const char *section, const char *name);
/* Local. The key whose name is spelled most like this one. */
const ConfigKey *config_key_nearest(const char *section, const char *name);
bool config_section_exists(const char *section);
/* Local. Whether entry `key` of the table is the first of its section. */
bool config_section_begins(int key);
/* Local. All sections, "model, data, ...". */
const char *config_section_names(char text[256]);

/* Local. `where` ("run.ini:12", "--set") begins the message of an error. */
Status config_key_parse(const ConfigKey *key, Config *config, const char *value, const char *where);

/* Local. The value as text that config_key_parse() takes back. */
const char *config_key_text(const ConfigKey *key, const Config *config, char text[PAL_VALUE_SIZE]);

/* Local. What may stand there, for messages and help: "a whole number in [1, 256]". */
const char *config_key_expected(const ConfigKey *key, char text[256]);

#endif

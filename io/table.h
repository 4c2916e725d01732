/* SPDX-License-Identifier: Apache-2.0
 *
 * A small table of named columns, filled cell by cell and written as a CSV file (RFC 4180, one line
 * of column names, numbers with every bit) or as HTML (rounded for people). What is not known, or
 * not finite, is an empty cell.
 *
 *     Table table;
 *     table_create(&table, "frequency", columns, 3);
 *     table_text(&table, "all");  table_integer(&table, 12);  table_number(&table, 2.5);   one row
 *     PAL_TRY(table_write(&table, folder));                                   FOLDER/frequency.csv
 *     table_destroy(&table);
 */
#ifndef PAL_IO_TABLE_H
#define PAL_IO_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/json.h"
#include "src/base/status.h"

typedef struct TableCell {
    char *text; /* of a text; NULL: a number */
    double number;
    bool is_integer, is_empty;
} TableCell;

typedef struct Table {
    const char *name;           /* of the file without .csv; borrowed */
    const char *const *columns; /* (num_columns) borrowed */
    int num_columns;
    TableCell *cells; /* (rows, num_columns), the last row perhaps not whole */
    int64_t count, room;
    bool lost; /* memory ran out */
} Table;

/* Local, all of them. */
void table_create(Table *table, const char *name, const char *const *columns, int num_columns);
void table_destroy(Table *table);

/* The next cell, row after row. Integers beyond 2^53 are rounded. */
void table_text(Table *table, const char *text);
void table_integer(Table *table, int64_t value);
void table_number(Table *table, double value);
void table_empty(Table *table);

/* FOLDER/NAME.csv; whole or not at all. Errors: PAL_ERROR_UNAVAILABLE, PAL_ERROR_CANT_CREATE,
 * PAL_ERROR_IO. */
Status table_write(const Table *table, const char *folder);

/* Appends <table>...</table>. */
void table_html(const Table *table, JsonText *html);

/* Appends text with what HTML gives a meaning to (& < > ") written out. */
void html_append(JsonText *html, const char *text);

#endif

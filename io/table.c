/* SPDX-License-Identifier: Apache-2.0 */
#include "io/table.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/number.h"
#include "io/whole_file.h"

void table_create(Table *table, const char *name, const char *const *columns, int num_columns)
{
    *table = (Table){.name = name, .columns = columns, .num_columns = num_columns};
}

void table_destroy(Table *table)
{
    for (int64_t i = 0; i < table->count; i++) free(table->cells[i].text);
    free(table->cells);
    *table = (Table){0};
}

static void append(Table *table, TableCell cell)
{
    if (table->count == table->room) {
        int64_t room = table->room > 0 ? 2 * table->room : 64;
        TableCell *cells = realloc(table->cells, (size_t)room * sizeof *cells);
        if (cells == NULL) {
            table->lost = true;
            free(cell.text);
            return;
        }
        table->cells = cells;
        table->room = room;
    }
    table->cells[table->count++] = cell;
}

void table_text(Table *table, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) table->lost = true;
    append(table, (TableCell){.text = copy, .is_empty = copy == NULL});
}

void table_integer(Table *table, int64_t value)
{
    append(table, (TableCell){.number = (double)value, .is_integer = true});
}

void table_number(Table *table, double value)
{
    append(table, (TableCell){.number = value, .is_empty = !isfinite(value)});
}

void table_empty(Table *table) { append(table, (TableCell){.is_empty = true}); }

/* --- CSV --------------------------------------------------------------------------------------- */

static void append_quoted(JsonText *csv, const char *text)
{
    bool plain = strpbrk(text, ",\"\r\n") == NULL;
    if (plain) {
        json_append(csv, text);
        return;
    }
    json_append(csv, "\"");
    for (const char *at = text; *at != '\0'; at++) {
        const char piece[] = {*at, '\0'};
        json_append(csv, *at == '"' ? "\"\"" : piece);
    }
    json_append(csv, "\"");
}

static void csv_cell(JsonText *csv, const TableCell *cell)
{
    char text[32];
    if (cell->is_empty) return;
    if (cell->text != NULL) {
        append_quoted(csv, cell->text);
    } else if (cell->is_integer) {
        snprintf(text, sizeof text, "%.0f", cell->number);
        json_append(csv, text);
    } else {
        json_append(csv, number_text(cell->number, text));
    }
}

Status table_write(const Table *table, const char *folder)
{
    char path[PATH_MAX];
    JsonText csv = {.lost = table->lost};
    snprintf(path, sizeof path, "%s/%s.csv", folder, table->name);
    for (int c = 0; c < table->num_columns; c++) {
        json_append(&csv, c > 0 ? "," : "");
        append_quoted(&csv, table->columns[c]);
    }
    for (int64_t i = 0; i < table->count; i++) {
        json_append(&csv, i % table->num_columns > 0 ? "," : "\n");
        csv_cell(&csv, &table->cells[i]);
    }
    json_append(&csv, "\n");
    Status status = whole_file_write(path, &csv);
    free(csv.text);
    return status;
}

/* --- HTML -------------------------------------------------------------------------------------- */

void html_append(JsonText *html, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        const char piece[] = {*at, '\0'};
        json_append(html, *at == '&'   ? "&amp;"
                          : *at == '<' ? "&lt;"
                          : *at == '>' ? "&gt;"
                          : *at == '"' ? "&quot;"
                                       : piece);
    }
}

/* Column names have words_like_this. */
static void html_head(const Table *table, JsonText *html)
{
    json_append(html, "<tr>");
    for (int c = 0; c < table->num_columns; c++) {
        json_append(html, "<th>");
        for (const char *at = table->columns[c]; *at != '\0'; at++) {
            const char piece[] = {*at == '_' ? ' ' : *at, '\0'};
            html_append(html, piece);
        }
        json_append(html, "</th>");
    }
    json_append(html, "</tr>\n");
}

static void html_cell(JsonText *html, const TableCell *cell)
{
    char text[64];
    if (cell->text != NULL) {
        json_append(html, "<td class=\"text\">");
        html_append(html, cell->text);
    } else {
        double size = fabs(cell->number);
        const char *format = cell->is_integer              ? "%.0f"
                             : size >= 1e7                 ? "%.3e"
                             : size >= 1e3                 ? "%.1f"
                             : size >= 0.01 || size == 0.0 ? "%.4f"
                                                           : "%.3e";
        snprintf(text, sizeof text, format, cell->number);
        json_append(html, "<td>");
        if (!cell->is_empty) json_append(html, text);
    }
    json_append(html, "</td>");
}

void table_html(const Table *table, JsonText *html)
{
    json_append(html, "<table>\n");
    html_head(table, html);
    for (int64_t i = 0; i < table->count; i++) {
        if (i % table->num_columns == 0) json_append(html, "<tr>");
        html_cell(html, &table->cells[i]);
        if ((i + 1) % table->num_columns == 0) json_append(html, "</tr>\n");
    }
    json_append(html, "</table>\n");
    if (table->lost) html->lost = true;
}

-- The master account on restored data of MySQL 5.6, which real Aurora doesn't take any more.
-- A line that is nothing but $$ ends a statement.
--
-- Kinder than Aurora: the schema `mysql` can be written to. Missing: all procedures.
SET SESSION sql_log_bin = 0
$$
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES,
  CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW,
  CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER
  ON *.* TO 'admin'@'%' IDENTIFIED BY '{admin_password}' WITH GRANT OPTION
$$

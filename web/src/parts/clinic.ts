/** What the person signed in may do with a visit, for the pages: the server decides anew at every request. */
import { account } from "./account";

export const isClinician = (): boolean => account.value?.roles.includes("clinician") === true;
export const isOperator = (): boolean => account.value?.roles.includes("operator") === true;
export const isAdministrator = (): boolean => account.value?.roles.includes("administrator") === true;
